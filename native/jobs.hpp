// Independent jobs on a few threads, with the first failure in job order as the result.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "checked.hpp"

namespace galvo {

enum FailureKind : std::int64_t { kNone = 0, kShortRead = 1, kHeaderDiffers = 2, kIoError = 3 };

struct Outcome {
    std::int64_t kind = kNone;
    std::int64_t value = 0;
};

struct Failure {
    std::int64_t job = -1;
    Outcome outcome;
};

// Runs worker(job) for jobs 0 .. job_count-1, `worker` being what make_worker() returns on each thread.
// cost(job) is the work of a job in bytes: neighbouring jobs are handed out in runs of a few MiB, so that a thread
// stays in one region of the file and of the output. All jobs before the failure that is returned have been done.
template <class Cost, class MakeWorker>
Failure run_jobs(std::int64_t job_count, int threads, const Cost &cost, const MakeWorker &make_worker) {
    constexpr std::int64_t kThreadCost = std::int64_t(1) << 20;  // below this a thread costs more than it brings
    constexpr std::int64_t kSmallestRun = std::int64_t(1) << 19;
    constexpr std::int64_t kLargestRun = std::int64_t(1) << 22;

    const std::int64_t wanted = std::max(1, std::min(threads, 256));
    const std::int64_t enough = wanted * 4 * kLargestRun;
    std::int64_t total = 0;
    for (std::int64_t job = 0; job < job_count && total < enough; ++job) total += std::min(cost(job), enough);
    const std::int64_t run_cost = std::clamp(total / (wanted * 4), kSmallestRun, kLargestRun);
    const std::int64_t thread_count = std::max<std::int64_t>(1, std::min({wanted, job_count, total / kThreadCost}));

    std::atomic<std::int64_t> next{0};
    std::atomic<std::int64_t> lowest{kLargest};
    std::mutex mutex;
    Failure failure;
    std::exception_ptr thrown;

    const auto claim = [&](std::int64_t &begin, std::int64_t &end) {
        begin = next.load(std::memory_order_relaxed);
        do {
            if (begin >= job_count) return false;
            end = begin;
            for (std::int64_t sum = 0; end < job_count && sum < run_cost; ++end) sum += std::min(cost(end), run_cost);
        } while (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed));
        return true;
    };

    const auto work = [&]() noexcept {
        try {
            auto worker = make_worker();
            for (std::int64_t begin = 0, end = 0; claim(begin, end);) {
                for (std::int64_t job = begin; job < end; ++job) {
                    if (job > lowest.load(std::memory_order_relaxed)) return;
                    const Outcome outcome = worker(job);
                    if (outcome.kind == kNone) continue;
                    const std::lock_guard<std::mutex> lock(mutex);
                    if (job < lowest.load(std::memory_order_relaxed)) {
                        lowest.store(job, std::memory_order_relaxed);
                        failure.job = job;
                        failure.outcome = outcome;
                    }
                    return;
                }
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (!thrown) thrown = std::current_exception();
            lowest.store(-1, std::memory_order_relaxed);
        }
    };

    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(thread_count - 1));
    for (std::int64_t i = 1; i < thread_count; ++i) {
        try {
            helpers.emplace_back(work);
        } catch (const std::system_error &) {
            break;  // the system has no thread left: those that run do the work
        }
    }
    work();
    for (std::thread &helper : helpers) helper.join();
    if (thrown) std::rethrow_exception(thrown);
    return failure;
}

}  // namespace galvo
