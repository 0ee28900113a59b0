#include "text_scan.hpp"

#include <algorithm>
#include <cfloat>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

#include <locale.h>
#if defined(__APPLE__) || defined(__FreeBSD__)
#include <xlocale.h>
#endif

#include "positioned_read.hpp"

namespace galvo {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kPadding = 16;

// strtod obeys the process' locale, whose decimal point may be a comma.
#if defined(_WIN32)
double strtod_c(const char *text) noexcept {
    static const _locale_t c_locale = _create_locale(LC_ALL, "C");
    return c_locale != nullptr ? _strtod_l(text, nullptr, c_locale) : std::strtod(text, nullptr);
}
#elif defined(__GLIBC__) || defined(__APPLE__) || defined(__FreeBSD__)
double strtod_c(const char *text) noexcept {
    static const locale_t c_locale = newlocale(LC_ALL_MASK, "C", static_cast<locale_t>(nullptr));
    return c_locale != static_cast<locale_t>(nullptr) ? strtod_l(text, nullptr, c_locale) : std::strtod(text, nullptr);
}
#else
double strtod_c(const char *text) noexcept { return std::strtod(text, nullptr); }
#endif

inline bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
inline bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

bool equals_word(const char *text, std::size_t size, const char *word) noexcept {
    std::size_t i = 0;
    for (; i < size && word[i] != '\0'; ++i) {
        const char c = text[i];
        const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        if (lower != word[i]) return false;
    }
    return i == size && word[i] == '\0';
}

double parse_word(const char *text, std::size_t size) noexcept {
    if (equals_word(text, size, "true")) return 1.0;
    if (equals_word(text, size, "false")) return 0.0;
    const bool negative = size > 0 && text[0] == '-';
    if (size > 0 && (text[0] == '-' || text[0] == '+')) ++text, --size;
    if (equals_word(text, size, "inf") || equals_word(text, size, "infinity"))
        return negative ? -kInfinity : kInfinity;
    return kNan;
}

// One key as it is looked for: its first eight bytes decide nearly always.
struct Key {
    std::string text;
    std::uint64_t head = 0;
    std::uint64_t head_mask = 0;

    explicit Key(std::string key) : text(std::move(key)) {
        const std::size_t count = std::min<std::size_t>(8, text.size());
        std::uint8_t mask[8] = {};
        std::fill_n(mask, count, std::uint8_t(0xFF));
        std::memcpy(&head_mask, mask, 8);
        std::memcpy(&head, text.data(), count);
    }

    // Position behind the equals sign when `line` is this key's, else nullptr.
    char *value_of(char *line, char *end) const noexcept {
        std::uint64_t start;
        std::memcpy(&start, line, 8);
        if ((start & head_mask) != head) return nullptr;
        const std::size_t size = text.size();
        if (static_cast<std::size_t>(end - line) <= size) return nullptr;
        if (size > 8 && std::memcmp(line + 8, text.data() + 8, size - 8) != 0) return nullptr;
        char *p = line + size;
        while (p < end && is_blank(*p)) ++p;
        return p < end && *p == '=' ? p + 1 : nullptr;
    }
};

class Scanner {
  public:
    Scanner(const std::int64_t *fds, const std::int64_t *offset, const std::int64_t *size,
            const std::vector<Key> &keys, double *values, std::int64_t room)
        : fds_(fds),
          offset_(offset),
          size_(size),
          keys_(keys),
          values_(values),
          text_(new char[static_cast<std::size_t>(room + kPadding)]),
          found_(keys.size()) {}

    Outcome operator()(std::int64_t j) noexcept {
        const std::int64_t size = std::min(size_[j], kLargestText);
        const ReadResult got = read_fully(static_cast<int>(fds_[j]), offset_[j],
                                          reinterpret_cast<std::uint8_t *>(text_.get()), size);
        if (got.error != 0) return {kIoError, got.error};
        if (got.size < size) return {kShortRead, offset_[j] + got.size};
        // A key is compared eight bytes at a time, also at the very end.
        std::memset(text_.get() + size, 0, static_cast<std::size_t>(kPadding));
        scan(size, size_[j] > size, values_ + static_cast<std::size_t>(j) * keys_.size());
        return {};
    }

  private:
    static char *find(char *from, char *end, char c) noexcept {
        void *hit = from < end ? std::memchr(from, c, static_cast<std::size_t>(end - from)) : nullptr;
        return hit != nullptr ? static_cast<char *>(hit) : end;
    }

    void scan(std::int64_t size, bool cut, double *row) noexcept {
        char *const begin = text_.get();
        char *const nul = find(begin, begin + size, '\0');
        cut = cut && nul == begin + size;
        std::fill(found_.begin(), found_.end(), std::uint8_t(0));
        std::size_t missing = keys_.size(), cursor = 0;
        char *newline = find(begin, nul, '\n'), *carriage = find(begin, nul, '\r');
        for (char *line = begin; line < nul && missing > 0;) {
            char *const end = std::min(newline, carriage);
            // A line that the size limit cuts may hold a part of a number only.
            if (!(cut && end == nul)) missing -= read_line(line, end, row, cursor);
            line = end + 1;
            if (newline < line) newline = find(line, nul, '\n');
            if (carriage < line) carriage = find(line, nul, '\r');
        }
    }

    // Keys come in the order of the file as a rule: the search goes on behind the last one found.
    std::size_t read_line(char *line, char *end, double *row, std::size_t &cursor) noexcept {
        std::size_t hits = 0;
        const std::size_t count = keys_.size();
        for (std::size_t i = 0, k = cursor; i < count; ++i, k = k + 1 == count ? 0 : k + 1) {
            if (found_[k]) continue;
            char *value = keys_[k].value_of(line, end);
            if (value == nullptr) continue;
            found_[k] = 1;
            char *stop = end;
            while (value < stop && is_blank(*value)) ++value;
            while (stop > value && is_blank(stop[-1])) --stop;
            row[k] = parse_number(value, static_cast<std::size_t>(stop - value));
            cursor = k + 1 == count ? 0 : k + 1;
            ++hits;
            break;
        }
        return hits;
    }

    const std::int64_t *fds_, *offset_, *size_;
    const std::vector<Key> &keys_;
    double *values_;
    std::unique_ptr<char[]> text_;
    std::vector<std::uint8_t> found_;
};

}  // namespace

double parse_number(char *text, std::size_t size) noexcept {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = text, *const end = text + size;
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) ++p;

    std::uint64_t mantissa = 0;
    std::int64_t exponent = 0, digits = 0, significant = 0;
    const auto take = [&](char c) {
        ++digits;
        if (significant > 0 || c != '0') ++significant;
        if (significant <= 19) mantissa = mantissa * 10 + static_cast<std::uint64_t>(c - '0');
    };
    for (; p < end && is_digit(*p); ++p) take(*p);
    if (p < end && *p == '.') {
        for (++p; p < end && is_digit(*p); ++p, --exponent) take(*p);
    }
    if (digits == 0) return parse_word(text, size);
    if (p < end && (*p == 'e' || *p == 'E')) {
        ++p;
        const bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) ++p;
        if (p == end) return kNan;
        std::int64_t written = 0;
        for (; p < end && is_digit(*p); ++p) written = std::min<std::int64_t>(written * 10 + (*p - '0'), 1000000);
        exponent += down ? -written : written;
    }
    if (p != end) return kNan;

    // Both operands are exact here, so that one operation rounds once; not so where the hardware computes wider.
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    if (significant <= 19 && mantissa <= (std::uint64_t(1) << 53) && exponent >= -22 && exponent <= 22) {
        const double value = static_cast<double>(mantissa);
        const double scaled = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
        return negative ? -scaled : scaled;
    }
#endif
    const char kept = text[size];
    text[size] = '\0';
    const double value = strtod_c(text);
    text[size] = kept;
    return value;
}

Failure scan_text(std::int64_t job_count, const std::int64_t *fds, const std::int64_t *offset,
                  const std::int64_t *size, const std::vector<std::string> &keys, int threads, double *values) {
    std::vector<Key> wanted;
    wanted.reserve(keys.size());
    for (const std::string &key : keys) {
        if (key.empty()) throw std::invalid_argument("a key is empty");
        if (key.find_first_of(std::string("\0\n\r", 3)) != std::string::npos)
            throw std::invalid_argument("a key holds a NUL or the end of a line");
        wanted.emplace_back(key);
    }
    std::int64_t room = 0;
    for (std::int64_t j = 0; j < job_count; ++j) {
        const auto refuse = [j](const char *what) {
            throw std::invalid_argument("job " + std::to_string(j) + ": " + what);
        };
        if (fds[j] < 0 || fds[j] > std::numeric_limits<int>::max()) refuse("not a file descriptor");
        if (offset[j] < 0) refuse("offset is negative");
        if (size[j] < 0) refuse("nbytes is negative");
        if (offset[j] > std::numeric_limits<std::int64_t>::max() - kLargestText) refuse("file positions exceed 2**63");
        room = std::max(room, std::min(size[j], kLargestText));
    }
    std::fill_n(values, static_cast<std::size_t>(job_count) * keys.size(), kNan);
    return run_jobs(
        job_count, threads, [size](std::int64_t j) { return std::min(size[j], kLargestText) * 4 + 8192; },
        [&] { return Scanner(fds, offset, size, wanted, values, room); });
}

}  // namespace galvo
