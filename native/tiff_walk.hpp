// The chain of IFDs of a TIFF file as columns. TIFF 6.0 section 2; BigTIFF as of libtiff's specification.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace galvo {

// Why a walk ended; `offset` is the position (or errno) that says so and `page` the number of complete pages.
enum class WalkEnd : std::int64_t {
    complete = 0,
    next_outside = 1,
    loop = 2,
    too_many_pages = 3,
    table_cut = 4,
    absurd_count = 5,
    values_outside = 6,
    io_error = 7,
    too_many_values = 8,
};

enum Column : int {
    kIfd,
    kNext,
    kWidth,
    kHeight,
    kBits,
    kBitsCount,
    kCompression,
    kPhotometric,
    kFillOrder,
    kSamples,
    kRowsPerStrip,
    kPlanar,
    kPredictor,
    kTileWidth,
    kTileHeight,
    kSampleFormat,
    kSubfileType,
    kOrientation,
    kDescriptionOffset,
    kDescriptionSize,
    kSoftwareOffset,
    kSoftwareSize,
    kColumnCount
};

extern const std::array<const char *, kColumnCount> column_names;

struct TiffPages {
    std::array<std::vector<std::int64_t>, kColumnCount> columns;
    std::vector<std::int64_t> segment_first{0};
    std::vector<std::int64_t> segment_offset;
    std::vector<std::int64_t> segment_size;
    WalkEnd end = WalkEnd::complete;
    std::int64_t end_offset = 0;
};

TiffPages tiff_walk(int fd, std::int64_t file_size, bool big, bool little, std::int64_t first, std::int64_t max_pages,
                    std::int64_t max_values);

}  // namespace galvo
