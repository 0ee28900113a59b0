#include "bayes_start.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bayes_layout.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kFine = 1.5, kCoarse = 8.0;  // full-resolution pixels
constexpr double kReach = 4.0;                // of the Gaussians, in standard deviations
constexpr float kCut = 4.0f;
constexpr std::int64_t kSearch = 4;  // shifts up to size / kSearch

std::vector<float> gaussian(double sigma) {
    const int reach = std::max(1, static_cast<int>(kReach * sigma + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int i = -reach; i <= reach; ++i) {
        weights.push_back(std::exp(-0.5 * i * i / (sigma * sigma)));
        sum += weights.back();
    }
    std::vector<float> taps;
    for (const double weight : weights) taps.push_back(static_cast<float>(weight / sum));
    return taps;
}

// Root of a Hann window whose zeros lie outside.
std::vector<float> taper(std::int64_t size) {
    std::vector<float> window;
    for (std::int64_t i = 0; i < size; ++i)
        window.push_back(static_cast<float>(std::sin(kPi * static_cast<double>(i + 1) / static_cast<double>(size + 1))));
    return window;
}

std::int64_t mirrored(std::int64_t i, std::int64_t size) noexcept {
    const std::int64_t period = 2 * size, place = ((i % period) + period) % period;
    return place < size ? place : period - 1 - place;
}

std::int64_t batch_of(std::int64_t count) noexcept { return rounded_up(count, kLanes); }

#define GALVO_KERNELS "bayes_start_kernels.hpp"
#include "each_isa_kernels.hpp"

constexpr std::size_t kLargestTaps = 72;

// `in` (height, width) smoothed along both axes, mirrored at its ends; `line` has room for a row and 2 x 36.
void smooth(const float *in, std::int64_t height, std::int64_t width, const std::vector<float> &taps, float *line,
            float *out) noexcept {
#if defined(GALVO_X86_64)
    const auto sum_rows = active_isa() == Isa::avx2 ? avx2::weighted_sum : baseline::weighted_sum;
#else
    const auto sum_rows = baseline::weighted_sum;
#endif
    const std::int64_t count = static_cast<std::int64_t>(taps.size()), reach = count / 2;
    const float *inputs[kLargestTaps];
    for (std::int64_t y = 0; y < height; ++y) {
        for (std::int64_t k = 0; k < count; ++k) inputs[k] = in + mirrored(y + k - reach, height) * width;
        sum_rows(inputs, taps.data(), count, width, line + reach);
        for (std::int64_t k = 0; k < reach; ++k) {
            line[k] = line[reach + mirrored(k - reach, width)];
            line[reach + width + k] = line[reach + mirrored(width + k, width)];
        }
        for (std::int64_t k = 0; k < count; ++k) inputs[k] = line + k;
        sum_rows(inputs, taps.data(), count, width, out + y * width);
    }
}

// Vertex of the parabola through three values of which the middle one is the largest.
float vertex(float before, float middle, float after) noexcept {
    const float bend = before - 2 * middle + after;
    return bend < 0.0f ? std::clamp(0.5f * (before - after) / bend, -0.5f, 0.5f) : 0.0f;
}

}  // namespace

RigidStart::RigidStart(const std::vector<BorderedPlane> &reference, std::int64_t factor,
                       const std::vector<float> &weights)
    : height_(reference.front().height()), width_(reference.front().width()), factor_(factor),
      padded_height_(smooth_size(height_ + height_ / kSearch + 1)),
      padded_width_(smooth_size(width_ + width_ / kSearch + 1)), fine_(gaussian(kFine / static_cast<double>(factor))),
      coarse_(gaussian(kCoarse / static_cast<double>(factor))), taper_y_(taper(height_)), taper_x_(taper(width_)),
      along_y_(padded_height_, batch_of(padded_width_ / 2)), along_x_(padded_width_, batch_of(padded_height_ / 2 + 1)) {
    StartWorkspace workspace;
    shape(workspace);
    for (std::size_t channel = 0; channel < reference.size(); ++channel) {
        const bool varied = transform(reference[channel], workspace);
        const float weight = varied ? weights[channel] : 0.0f;
        reference_real_.push_back(workspace.spectrum_real);
        reference_imaginary_.push_back(workspace.spectrum_imaginary);
        for (float &value : reference_real_.back()) value *= weight;
        for (float &value : reference_imaginary_.back()) value *= weight;
    }
}

void RigidStart::shape(StartWorkspace &workspace) const {
    const std::size_t pixels = static_cast<std::size_t>(height_ * width_);
    workspace.image.assign(pixels, 0.0f);
    workspace.smooth.assign(pixels, 0.0f);
    workspace.line.assign(static_cast<std::size_t>(width_) + kLargestTaps + kLanes, 0.0f);
    const std::size_t packed = static_cast<std::size_t>(along_y_.size() * along_y_.batch());
    const std::size_t spectrum = static_cast<std::size_t>(along_x_.size() * along_x_.batch());
    workspace.real.assign(packed, 0.0f);
    workspace.imaginary.assign(packed, 0.0f);
    for (std::vector<float> *part : {&workspace.spectrum_real, &workspace.spectrum_imaginary, &workspace.sum_real,
                                     &workspace.sum_imaginary})
        part->assign(spectrum, 0.0f);
    workspace.work.assign(2 * std::max(packed, spectrum), 0.0f);
}

void RigidStart::band_pass(const BorderedPlane &image, StartWorkspace &workspace) const noexcept {
    // Pixels that are no numbers get the mean of the others.
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t y = 0; y < height_; ++y)
        for (std::int64_t x = 0; x < width_; ++x) {
            const float value = image.row(y)[x];
            const bool finite = std::isfinite(value);
            sum += finite ? value : 0.0f;
            count += finite ? 1 : 0;
        }
    const float mean = count > 0 ? static_cast<float>(sum / static_cast<double>(count)) : 0.0f;
    float *const fine = workspace.image.data(), *const coarse = workspace.smooth.data();
    float *const copy = workspace.work.data();
    for (std::int64_t y = 0; y < height_; ++y)
        for (std::int64_t x = 0; x < width_; ++x) {
            const float value = image.row(y)[x];
            copy[y * width_ + x] = std::isfinite(value) ? value - mean : 0.0f;
        }
    smooth(copy, height_, width_, fine_, workspace.line.data(), fine);
    smooth(copy, height_, width_, coarse_, workspace.line.data(), coarse);
    for (std::int64_t i = 0; i < height_ * width_; ++i) fine[i] -= coarse[i];
}

bool RigidStart::transform(const BorderedPlane &image, StartWorkspace &workspace) const noexcept {
    band_pass(image, workspace);
    float *const filtered = workspace.image.data();
    double sum = 0, squares = 0;
    for (std::int64_t y = 0; y < height_; ++y) {
        float row_sum = 0, row_squares = 0;
        for (std::int64_t x = 0; x < width_; ++x) {
            const float value = filtered[y * width_ + x];
            row_sum += value;
            row_squares += value * value;
        }
        sum += row_sum;
        squares += row_squares;
    }
    const double pixels = static_cast<double>(height_ * width_), mean = sum / pixels;
    const double variance = squares / pixels - mean * mean;
    if (!(variance > 0)) return false;
    const float scale = static_cast<float>(1 / std::sqrt(variance));

    // Columns x and x + half are the real and the imaginary part of one transform.
    const std::int64_t half = padded_width_ / 2, batch = along_y_.batch();
    std::fill(workspace.real.begin(), workspace.real.end(), 0.0f);
    std::fill(workspace.imaginary.begin(), workspace.imaginary.end(), 0.0f);
    for (std::int64_t y = 0; y < height_; ++y) {
        float *const real = workspace.real.data() + y * batch, *const imaginary = workspace.imaginary.data() + y * batch;
        for (std::int64_t x = 0; x < width_; ++x) {
            const float value = std::clamp(filtered[y * width_ + x] * scale, -kCut, kCut) * taper_y_[static_cast<std::size_t>(y)] *
                                taper_x_[static_cast<std::size_t>(x)];
            (x < half ? real[x] : imaginary[x - half]) = value;
        }
    }
    along_y_.forward(workspace.real.data(), workspace.imaginary.data(), workspace.work.data());

    const std::int64_t spectrum_batch = along_x_.batch();
    float *const out_real = workspace.spectrum_real.data(), *const out_imaginary = workspace.spectrum_imaginary.data();
    for (std::int64_t k = 0; k <= padded_height_ / 2; ++k) {
        const std::int64_t mirror = k == 0 ? 0 : padded_height_ - k;
        const float *const re = workspace.real.data() + k * batch, *const im = workspace.imaginary.data() + k * batch;
        const float *const mirror_re = workspace.real.data() + mirror * batch;
        const float *const mirror_im = workspace.imaginary.data() + mirror * batch;
        for (std::int64_t x = 0; x < half; ++x) {
            const std::int64_t left = x * spectrum_batch + k, right = (x + half) * spectrum_batch + k;
            out_real[left] = 0.5f * (re[x] + mirror_re[x]);
            out_imaginary[left] = 0.5f * (im[x] - mirror_im[x]);
            out_real[right] = 0.5f * (im[x] + mirror_im[x]);
            out_imaginary[right] = 0.5f * (mirror_re[x] - re[x]);
        }
    }
    along_x_.forward(out_real, out_imaginary, workspace.work.data());
    return true;
}

Shift RigidStart::find(const std::vector<BorderedPlane> &channels, StartWorkspace &workspace) const noexcept {
    const std::int64_t spectrum_batch = along_x_.batch(), batch = along_y_.batch(), half = padded_width_ / 2;
    float *const sum_real = workspace.sum_real.data(), *const sum_imaginary = workspace.sum_imaginary.data();
    std::fill(workspace.sum_real.begin(), workspace.sum_real.end(), 0.0f);
    std::fill(workspace.sum_imaginary.begin(), workspace.sum_imaginary.end(), 0.0f);
    for (std::size_t channel = 0; channel < channels.size(); ++channel) {
        if (!transform(channels[channel], workspace)) continue;
        const float *const re = workspace.spectrum_real.data(), *const im = workspace.spectrum_imaginary.data();
        const float *const other_re = reference_real_[channel].data(), *const other_im = reference_imaginary_[channel].data();
        for (std::int64_t i = 0; i < padded_width_ * spectrum_batch; ++i) {
            sum_real[i] += re[i] * other_re[i] + im[i] * other_im[i];
            sum_imaginary[i] += im[i] * other_re[i] - re[i] * other_im[i];
        }
    }
    along_x_.forward(sum_imaginary, sum_real, workspace.work.data());
    for (std::int64_t k = 0; k <= padded_height_ / 2; ++k) {
        const std::int64_t mirror = k == 0 ? 0 : padded_height_ - k;
        float *const re = workspace.real.data() + k * batch, *const im = workspace.imaginary.data() + k * batch;
        float *const mirror_re = workspace.real.data() + mirror * batch;
        float *const mirror_im = workspace.imaginary.data() + mirror * batch;
        for (std::int64_t x = 0; x < half; ++x) {
            const std::int64_t left = x * spectrum_batch + k, right = (x + half) * spectrum_batch + k;
            const float a = sum_real[left], b = sum_imaginary[left], c = sum_real[right], d = sum_imaginary[right];
            mirror_re[x] = a + d;
            mirror_im[x] = c - b;
            re[x] = a - d;
            im[x] = b + c;
        }
    }
    along_y_.forward(workspace.imaginary.data(), workspace.real.data(), workspace.work.data());

    const auto match = [&](std::int64_t y, std::int64_t x) noexcept {
        const std::int64_t row = (y + padded_height_) % padded_height_, column = (x + padded_width_) % padded_width_;
        return column < half ? workspace.real[static_cast<std::size_t>(row * batch + column)]
                             : workspace.imaginary[static_cast<std::size_t>(row * batch + column - half)];
    };
    const std::int64_t reach_y = height_ / kSearch, reach_x = width_ / kSearch;
    float best = match(0, 0), least = best;
    std::int64_t best_y = 0, best_x = 0;
    for (std::int64_t y = -reach_y; y <= reach_y; ++y)
        for (std::int64_t x = -reach_x; x <= reach_x; ++x) {
            const float value = match(y, x);
            least = value < least ? value : least;
            if (value > best) {
                best = value;
                best_y = y;
                best_x = x;
            }
        }
    if (!(best > least)) return {};
    const float size = static_cast<float>(factor_);
    return {size * (static_cast<float>(best_x) + vertex(match(best_y, best_x - 1), best, match(best_y, best_x + 1))),
            size * (static_cast<float>(best_y) + vertex(match(best_y - 1, best_x), best, match(best_y + 1, best_x)))};
}

}  // namespace galvo::bayes
