#include "tiff_walk.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_set>

#include "checked.hpp"
#include "endian.hpp"
#include "positioned_read.hpp"

namespace galvo {

const std::array<const char *, kColumnCount> column_names = {
    "ifd",         "next",       "width",        "height",      "bits",
    "bits_count",  "compression", "photometric", "fill_order",  "samples",
    "rows_per_strip", "planar",  "predictor",    "tile_width",  "tile_height",
    "sample_format", "subfile_type", "orientation", "description_offset", "description_nbytes",
    "software_offset", "software_nbytes"};

namespace {

constexpr std::int64_t kAbsent = -1, kDiffer = -2;
constexpr std::int64_t kMostTags = 4096;
constexpr std::int64_t kNear = 8 << 10;           // IFDs this close to each other are read many at a time
constexpr std::int64_t kNarrow = 4 << 10;
constexpr std::int64_t kWide = 64 << 10;
constexpr std::int64_t kTableRoom = 96 << 10;     // the largest table: 4096 tags of 20 bytes

std::int64_t clamped(std::uint64_t value) noexcept {
    return value > static_cast<std::uint64_t>(kLargest) ? kLargest : static_cast<std::int64_t>(value);
}

// A stretch of the file held in memory.
class Window {
  public:
    Window(int fd, std::int64_t file_size, std::int64_t room)
        : fd_(fd), file_size_(file_size), room_(room), bytes_(new std::uint8_t[static_cast<std::size_t>(room)]) {}

    const std::uint8_t *held(std::int64_t offset, std::int64_t size) const noexcept {
        return offset >= start_ && size <= size_ && offset - start_ <= size_ - size ? bytes_.get() + (offset - start_)
                                                                                    : nullptr;
    }

    // `size` bytes at `offset`, reading `ahead` bytes if they are not held yet; nullptr when the file has no such
    // bytes (error() == 0) or cannot be read.
    const std::uint8_t *view(std::int64_t offset, std::int64_t size, std::int64_t ahead) noexcept {
        if (size > file_size_ || offset > file_size_ - size) return nullptr;
        if (const std::uint8_t *bytes = held(offset, size)) return bytes;
        const std::int64_t wanted = std::min({std::max(size, ahead), room_, file_size_ - offset});
        const ReadResult got = read_fully(fd_, offset, bytes_.get(), wanted);
        start_ = offset;
        size_ = got.size;
        error_ = got.error;
        return got.error == 0 ? held(offset, size) : nullptr;
    }

    int error() const noexcept { return error_; }

  private:
    int fd_;
    std::int64_t file_size_, room_;
    std::unique_ptr<std::uint8_t[]> bytes_;
    std::int64_t start_ = 0, size_ = 0;
    int error_ = 0;
};

struct Tag {
    bool present = false;
    int type = 0;
    std::int64_t count = 0;
    std::int64_t offset = 0;  // of the values in the file, those inside the entry too
};

enum TagSlot : int {
    kTagStripOffsets = kColumnCount,
    kTagStripSizes,
    kTagTileOffsets,
    kTagTileSizes,
    kTagDescription,
    kTagSoftware,
    kTagSlotCount
};

int slot_of(int code) noexcept {
    switch (code) {
        case 254: return kSubfileType;
        case 256: return kWidth;
        case 257: return kHeight;
        case 258: return kBits;
        case 259: return kCompression;
        case 262: return kPhotometric;
        case 266: return kFillOrder;
        case 270: return kTagDescription;
        case 273: return kTagStripOffsets;
        case 274: return kOrientation;
        case 277: return kSamples;
        case 278: return kRowsPerStrip;
        case 279: return kTagStripSizes;
        case 284: return kPlanar;
        case 305: return kTagSoftware;
        case 317: return kPredictor;
        case 322: return kTileWidth;
        case 323: return kTileHeight;
        case 324: return kTagTileOffsets;
        case 325: return kTagTileSizes;
        case 339: return kSampleFormat;
        default: return -1;
    }
}

// Bytes of one value; 0 for a type that the tag must not have. BYTE SHORT LONG IFD LONG8 IFD8; for text also ASCII
// and UNDEFINED.
int value_size(int type, bool text) noexcept {
    if (text) return type == 1 || type == 2 || type == 7 ? 1 : 0;
    switch (type) {
        case 1: return 1;
        case 3: return 2;
        case 4:
        case 13: return 4;
        case 16:
        case 18: return 8;
        default: return 0;
    }
}

struct Stop {
    WalkEnd end;
    std::int64_t offset;
};

class Walker {
  public:
    Walker(int fd, std::int64_t file_size, bool big, bool little, std::int64_t max_pages, std::int64_t max_values)
        : big_(big),
          little_(little),
          max_pages_(max_pages),
          values_left_(max_values),
          file_size_(file_size),
          table_(fd, file_size, kTableRoom),
          values_(fd, file_size, kWide) {}

    TiffPages walk(std::int64_t first) {
        std::int64_t offset = first;
        try {
            while (offset != 0) {
                if (offset >= file_size_) throw Stop{WalkEnd::next_outside, offset};
                if (seen(offset)) throw Stop{WalkEnd::loop, offset};
                if (page_count() >= max_pages_) throw Stop{WalkEnd::too_many_pages, offset};
                const std::int64_t next = page(offset);
                near_ = next > offset && next - offset <= kNear;
                offset = next;
            }
        } catch (const Stop &stop) {
            pages_.end = stop.end;
            pages_.end_offset = stop.offset;
        }
        return std::move(pages_);
    }

  private:
    std::int64_t page_count() const noexcept { return static_cast<std::int64_t>(pages_.columns[kIfd].size()); }

    // Offsets rise in nearly every file: only one that does not needs the set of those before it.
    bool seen(std::int64_t offset) {
        const std::vector<std::int64_t> &ifds = pages_.columns[kIfd];
        if (ifds.empty() || offset > highest_) {
            highest_ = offset;
            return false;
        }
        visited_.insert(ifds.begin() + static_cast<std::ptrdiff_t>(visited_count_), ifds.end());
        visited_count_ = ifds.size();
        return visited_.count(offset) != 0;
    }

    std::uint64_t integer(const std::uint8_t *p, std::int64_t size) const noexcept {
        return load_integer(p, static_cast<int>(size), little_);
    }

    const std::uint8_t *table_bytes(std::int64_t offset, std::int64_t size, std::int64_t ifd) {
        const std::uint8_t *bytes = table_.view(offset, size, near_ ? kWide : reach_);
        if (bytes != nullptr) return bytes;
        if (table_.error() != 0) throw Stop{WalkEnd::io_error, table_.error()};
        throw Stop{WalkEnd::table_cut, ifd};
    }

    // Bytes of a tag's values: mostly they lie just behind the table, in the same window.
    const std::uint8_t *value_bytes(std::int64_t offset, std::int64_t size) {
        if (offset >= ifd_ && offset + size - ifd_ <= kNarrow) needed_ = std::max(needed_, offset + size - ifd_);
        if (const std::uint8_t *bytes = table_.held(offset, size)) return bytes;
        const std::uint8_t *bytes = values_.view(offset, size, kNarrow);
        if (bytes != nullptr) return bytes;
        if (values_.error() != 0) throw Stop{WalkEnd::io_error, values_.error()};
        throw Stop{WalkEnd::values_outside, offset};
    }

    template <class Use>
    void each_value(const Tag &tag, std::int64_t count, const Use &use) {
        const int size = value_size(tag.type, false);
        const std::int64_t step = kWide / 8;
        for (std::int64_t done = 0; done < count; done += step) {
            const std::int64_t part = std::min(step, count - done);
            const std::uint8_t *bytes = value_bytes(tag.offset + done * size, part * size);
            for (std::int64_t i = 0; i < part; ++i) use(clamped(integer(bytes + i * size, size)));
        }
    }

    void spend(std::int64_t count, std::int64_t ifd) {
        if (count > values_left_) throw Stop{WalkEnd::too_many_values, ifd};
        values_left_ -= count;
    }

    // The next IFD's offset; the page's row is added as a whole or not at all.
    std::int64_t page(std::int64_t ifd) {
        const std::int64_t head = big_ ? 8 : 2, entry = big_ ? 20 : 12, word = big_ ? 8 : 4;
        const std::uint64_t written = integer(table_bytes(ifd, head, ifd), head);
        if (written == 0 || written > static_cast<std::uint64_t>(kMostTags)) throw Stop{WalkEnd::absurd_count, ifd};
        const std::int64_t tag_count = static_cast<std::int64_t>(written);
        const std::int64_t table_size = head + tag_count * entry + word;
        const std::uint8_t *table = table_bytes(ifd, table_size, ifd);
        ifd_ = ifd;
        needed_ = table_size;

        Tag tags[kTagSlotCount];
        for (std::int64_t i = 0; i < tag_count; ++i) {
            const std::int64_t position = head + i * entry;
            const std::uint8_t *p = table + position;
            const int slot = slot_of(static_cast<int>(integer(p, 2)));
            if (slot < 0 || tags[slot].present) continue;
            const int type = static_cast<int>(integer(p + 2, 2));
            const int size = value_size(type, slot == kTagDescription || slot == kTagSoftware);
            const std::int64_t count = clamped(integer(p + 4, word));
            if (size == 0 || count == 0) continue;
            Tag &tag = tags[slot];
            tag.present = true;
            tag.type = type;
            tag.count = count;
            const std::int64_t inline_offset = ifd + position + 4 + word;
            tag.offset = count <= word / size ? inline_offset : clamped(integer(p + 4 + word, word));
            if (count > file_size_ / size || tag.offset > file_size_ - count * size)
                throw Stop{WalkEnd::values_outside, tag.offset};
        }

        std::array<std::int64_t, kColumnCount> row;
        row.fill(kAbsent);
        row[kIfd] = ifd;
        row[kNext] = clamped(integer(table + table_size - word, word));
        for (const int column : {kWidth, kHeight, kCompression, kPhotometric, kFillOrder, kSamples, kRowsPerStrip,
                                 kPlanar, kPredictor, kTileWidth, kTileHeight, kSubfileType, kOrientation})
            if (tags[column].present) each_value(tags[column], 1, [&](std::int64_t v) { row[column] = v; });
        for (const int column : {kBits, kSampleFormat}) {
            if (!tags[column].present) continue;
            spend(tags[column].count, ifd);
            each_value(tags[column], tags[column].count, [&](std::int64_t v) {
                if (row[column] == kAbsent) row[column] = v;
                else if (row[column] != v) row[column] = kDiffer;
            });
        }
        if (tags[kBits].present) row[kBitsCount] = tags[kBits].count;
        place(tags[kTagDescription], row[kDescriptionOffset], row[kDescriptionSize]);
        place(tags[kTagSoftware], row[kSoftwareOffset], row[kSoftwareSize]);

        const std::size_t before = pages_.segment_offset.size();
        try {
            segments(tags, ifd);
        } catch (const Stop &) {
            pages_.segment_offset.resize(before);
            pages_.segment_size.resize(before);
            throw;
        }
        for (int column = 0; column < kColumnCount; ++column)
            pages_.columns[static_cast<std::size_t>(column)].push_back(row[static_cast<std::size_t>(column)]);
        pages_.segment_first.push_back(static_cast<std::int64_t>(pages_.segment_offset.size()));
        reach_ = std::min(needed_, kNarrow);
        return row[kNext];
    }

    static void place(const Tag &tag, std::int64_t &offset, std::int64_t &size) noexcept {
        if (!tag.present) return;
        offset = tag.offset;
        size = tag.count;
    }

    // Some writers put the byte counts of tiles into the tag for strips, or the other way round.
    void segments(const Tag *tags, std::int64_t ifd) {
        const bool tiled = tags[kTagTileOffsets].present;
        const Tag &offsets = tags[tiled ? kTagTileOffsets : kTagStripOffsets];
        const Tag &own = tags[tiled ? kTagTileSizes : kTagStripSizes];
        const Tag &sizes = own.present ? own : tags[tiled ? kTagStripSizes : kTagTileSizes];
        if (!offsets.present) return;
        spend(offsets.count, ifd);
        const std::int64_t size_count = sizes.present ? std::min(sizes.count, offsets.count) : 0;
        spend(size_count, ifd);
        each_value(offsets, offsets.count, [&](std::int64_t v) { pages_.segment_offset.push_back(v); });
        each_value(sizes, size_count, [&](std::int64_t v) { pages_.segment_size.push_back(v); });
        pages_.segment_size.resize(pages_.segment_offset.size(), kAbsent);
    }

    bool big_, little_, near_ = false;
    std::int64_t max_pages_, values_left_, file_size_;
    Window table_, values_;
    TiffPages pages_;
    std::int64_t ifd_ = 0;
    std::int64_t needed_ = 0;       // bytes from the IFD on that the page has used
    std::int64_t reach_ = kNarrow;  // the same of the page before: what the next one will need
    std::int64_t highest_ = 0;
    std::unordered_set<std::int64_t> visited_;
    std::size_t visited_count_ = 0;
};

}  // namespace

TiffPages tiff_walk(int fd, std::int64_t file_size, bool big, bool little, std::int64_t first, std::int64_t max_pages,
                    std::int64_t max_values) {
    return Walker(fd, file_size, big, little, max_pages, max_values).walk(first);
}

}  // namespace galvo
