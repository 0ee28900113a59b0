// Frames worked on at once.
#pragma once

#include <cstdint>
#include <utility>

#include "jobs.hpp"

namespace galvo {

// Runs worker(t) for frames 0 .. frame_count-1, one at a time on each thread, `worker` being what make_worker() returns
// there.
template <class MakeWorker>
void run_frames(std::int64_t frame_count, int threads, const MakeWorker &make_worker) {
    const auto cost = [](std::int64_t) { return std::int64_t(1) << 22; };  // so large that frames are handed out singly
    run_jobs(frame_count, threads, cost, [&] {
        return [worker = make_worker()](std::int64_t t) mutable {
            worker(t);
            return Outcome{};
        };
    });
}

}  // namespace galvo
