#include "boxes.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "positioned_read.hpp"
#include "swap.hpp"

namespace galvo {
namespace {

constexpr std::int64_t kLargestGap = 16 << 10;      // between rows: reading on is cheaper than another call
constexpr std::int64_t kLargestSpan = 256 << 10;    // stays in the second-level cache while its rows are copied
constexpr std::int64_t kSwapPiece = 1 << 20;        // likewise while its bytes are swapped
constexpr std::int64_t kLargestHeaderGap = 8 << 10;
constexpr std::int64_t kJobOverhead = 8 << 10;      // a call, expressed in bytes

enum class Way { contiguous, spans, rows };

Way way_of(const BoxPlan &plan, std::int64_t rows) noexcept {
    if (rows <= 1 || (plan.file_row_stride == plan.row_bytes && plan.out_row_stride == plan.row_bytes))
        return Way::contiguous;
    if (plan.file_row_stride - plan.row_bytes > kLargestGap || plan.row_bytes > kLargestSpan / 2) return Way::rows;
    return Way::spans;
}

std::int64_t rows_per_span(const BoxPlan &plan) noexcept {
    return 1 + (kLargestSpan - plan.row_bytes) / plan.file_row_stride;
}

[[noreturn]] void refuse(std::int64_t job, const char *what) {
    throw std::invalid_argument("job " + std::to_string(job) + ": " + what);
}

// Bytes from the start of the first row to the end of the last.
bool extent_fits(std::int64_t rows, std::int64_t row_bytes, std::int64_t stride, std::int64_t &extent) noexcept {
    return multiply_fits(rows - 1, stride, extent) && add_fits(extent, row_bytes, extent);
}

void validate(const BoxPlan &plan) {
    if (plan.row_bytes < 0) throw std::invalid_argument("row_bytes is negative");
    if (plan.swap != 1 && plan.swap != 2 && plan.swap != 4 && plan.swap != 8)
        throw std::invalid_argument("swap must be 1, 2, 4 or 8");
    if (plan.row_bytes % plan.swap != 0) throw std::invalid_argument("row_bytes is no multiple of swap");
    for (std::int64_t j = 0; j < plan.job_count; ++j) {
        const std::int64_t rows = plan.rows[j];
        if (plan.fds[j] < 0 || plan.fds[j] > std::numeric_limits<int>::max()) refuse(j, "not a file descriptor");
        if (plan.offset[j] < 0) refuse(j, "offset is negative");
        if (rows < 0) refuse(j, "rows is negative");
        if (plan.out_offset[j] < 0 || plan.out_offset[j] > plan.out_size) refuse(j, "out_offset lies outside out");
        if (rows > 1 && (plan.file_row_stride < plan.row_bytes || plan.out_row_stride < plan.row_bytes))
            refuse(j, "rows overlap: a row stride is smaller than row_bytes");
        if (rows > 0) {
            std::int64_t extent = 0, end = 0;
            if (!extent_fits(rows, plan.row_bytes, rows > 1 ? plan.file_row_stride : 0, extent) ||
                !add_fits(plan.offset[j], extent, end))
                refuse(j, "file positions exceed 2**63");
            if (!extent_fits(rows, plan.row_bytes, rows > 1 ? plan.out_row_stride : 0, extent) ||
                extent > plan.out_size - plan.out_offset[j])
                refuse(j, "rows reach outside out");
        }
        if (plan.page_template != nullptr && plan.header_offset[j] >= 0) {
            std::int64_t end = 0;
            if (!add_fits(plan.header_offset[j], plan.page_template->size() + kLargestHeaderGap, end))
                refuse(j, "file positions exceed 2**63");
        }
    }
}

class Worker {
  public:
    Worker(const BoxPlan &plan, std::int64_t header_room, std::int64_t span_room)
        : plan_(plan),
          header_(header_room > 0 ? new std::uint8_t[static_cast<std::size_t>(header_room)] : nullptr),
          span_(span_room > 0 ? new std::uint8_t[static_cast<std::size_t>(span_room)] : nullptr) {}

    Outcome operator()(std::int64_t j) noexcept {
        const std::int64_t rows = plan_.row_bytes > 0 ? plan_.rows[j] : 0;
        const bool with_header = plan_.page_template != nullptr && plan_.header_offset[j] >= 0;
        const Way way = way_of(plan_, rows);
        if (way == Way::contiguous) return contiguous(j, rows * plan_.row_bytes, with_header);
        if (with_header) {
            const Outcome outcome = header_alone(j);
            if (outcome.kind != kNone) return outcome;
        }
        return way == Way::spans ? spans(j, rows) : row_by_row(j, rows);
    }

  private:
    int fd(std::int64_t j) const noexcept { return static_cast<int>(plan_.fds[j]); }

    Outcome compare_header(std::int64_t j) const noexcept {
        const std::int64_t position =
            plan_.page_template->first_difference(header_.get(), plan_.delta[j], plan_.last[j] != 0);
        return position < 0 ? Outcome{} : Outcome{kHeaderDiffers, position};
    }

    Outcome header_alone(std::int64_t j) noexcept {
        const std::int64_t size = plan_.page_template->size(), offset = plan_.header_offset[j];
        const ReadResult got = read_fully(fd(j), offset, header_.get(), size);
        if (got.error != 0) return {kIoError, got.error};
        if (got.size < size) return {kShortRead, offset + got.size};
        return compare_header(j);
    }

    Outcome contiguous(std::int64_t j, std::int64_t size, bool with_header) noexcept {
        std::uint8_t *out = plan_.out + plan_.out_offset[j];
        const std::int64_t offset = plan_.offset[j];
        const std::int64_t piece = plan_.swap == 1 ? size : std::min(size, kSwapPiece);
        std::int64_t done = 0;
        if (with_header) {
            const std::int64_t start = plan_.header_offset[j];
            const std::int64_t header_size = plan_.page_template->size();
            const std::int64_t gap = offset - (start + header_size);
            if (size == 0 || gap < 0 || gap > kLargestHeaderGap) {
                const Outcome outcome = header_alone(j);
                if (outcome.kind != kNone) return outcome;
            } else {
                const ReadResult got = read_fully(fd(j), start, header_.get(), header_size + gap, out, piece);
                if (got.error != 0) return {kIoError, got.error};
                if (got.size < header_size) return {kShortRead, start + got.size};
                const Outcome outcome = compare_header(j);
                if (outcome.kind != kNone) return outcome;
                if (got.size < header_size + gap + piece) return {kShortRead, std::max(offset, start + got.size)};
                swap_bytes(out, static_cast<std::size_t>(piece), plan_.swap);
                done = piece;
            }
        }
        while (done < size) {
            const std::int64_t count = std::min(piece, size - done);
            const ReadResult got = read_fully(fd(j), offset + done, out + done, count);
            if (got.error != 0) return {kIoError, got.error};
            if (got.size < count) return {kShortRead, offset + done + got.size};
            swap_bytes(out + done, static_cast<std::size_t>(count), plan_.swap);
            done += count;
        }
        return {};
    }

    Outcome spans(std::int64_t j, std::int64_t rows) noexcept {
        const std::int64_t most = rows_per_span(plan_), stride = plan_.file_row_stride;
        const std::size_t row_bytes = static_cast<std::size_t>(plan_.row_bytes);
        for (std::int64_t row = 0; row < rows; row += most) {
            const std::int64_t count = std::min(most, rows - row);
            const std::int64_t size = (count - 1) * stride + plan_.row_bytes;
            const std::int64_t offset = plan_.offset[j] + row * stride;
            const ReadResult got = read_fully(fd(j), offset, span_.get(), size);
            if (got.error != 0) return {kIoError, got.error};
            if (got.size < size) {
                // A file that ends between two rows lacks nothing before the second.
                const bool in_gap = got.size % stride >= plan_.row_bytes;
                return {kShortRead, offset + (in_gap ? (got.size / stride + 1) * stride : got.size)};
            }
            std::uint8_t *out = plan_.out + plan_.out_offset[j] + row * plan_.out_row_stride;
            for (std::int64_t r = 0; r < count; ++r) {
                std::memcpy(out + r * plan_.out_row_stride, span_.get() + r * stride, row_bytes);
                swap_bytes(out + r * plan_.out_row_stride, row_bytes, plan_.swap);
            }
        }
        return {};
    }

    Outcome row_by_row(std::int64_t j, std::int64_t rows) noexcept {
        for (std::int64_t row = 0; row < rows; ++row) {
            std::uint8_t *out = plan_.out + plan_.out_offset[j] + row * plan_.out_row_stride;
            const std::int64_t offset = plan_.offset[j] + row * plan_.file_row_stride;
            const ReadResult got = read_fully(fd(j), offset, out, plan_.row_bytes);
            if (got.error != 0) return {kIoError, got.error};
            if (got.size < plan_.row_bytes) return {kShortRead, offset + got.size};
            swap_bytes(out, static_cast<std::size_t>(plan_.row_bytes), plan_.swap);
        }
        return {};
    }

    const BoxPlan &plan_;
    std::unique_ptr<std::uint8_t[]> header_;
    std::unique_ptr<std::uint8_t[]> span_;
};

}  // namespace

Failure read_boxes(const BoxPlan &plan) {
    validate(plan);
    const std::int64_t header_room =
        plan.page_template != nullptr ? plan.page_template->size() + kLargestHeaderGap : 0;
    std::int64_t span_room = 0;
    for (std::int64_t j = 0; j < plan.job_count && plan.row_bytes > 0; ++j) {
        if (way_of(plan, plan.rows[j]) != Way::spans) continue;
        const std::int64_t rows = std::min(plan.rows[j], rows_per_span(plan));
        span_room = std::max(span_room, (rows - 1) * plan.file_row_stride + plan.row_bytes);
    }
    return run_jobs(
        plan.job_count, plan.threads,
        [&plan](std::int64_t j) { return plan.rows[j] * plan.row_bytes + kJobOverhead; },
        [&] { return Worker(plan, header_room, span_room); });
}

}  // namespace galvo
