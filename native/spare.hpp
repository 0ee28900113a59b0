// Memory that one call leaves to the next: what is new to the process is paid for page by page, which takes longer than
// the work on a small frame.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace galvo {

// Up to kKept objects of T. Nobody waits for the lock, so a process that was forked while it was held goes on as well.
template <class T, std::size_t kKept>
class Spare {
  public:
    // Gives its object back at the end of its life.
    class Loan {
      public:
        Loan(Spare &owner, std::unique_ptr<T> object) noexcept : owner_(&owner), object_(std::move(object)) {}
        Loan(Loan &&) = default;
        ~Loan() {
            if (object_) owner_->put_back(std::move(object_));
        }
        Loan &operator=(Loan &&) = delete;

        T &operator*() const noexcept { return *object_; }

      private:
        Spare *owner_;
        std::unique_ptr<T> object_;
    };

    Spare() { kept_.reserve(kKept); }

    Loan lend() {
        {
            const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
            if (lock && !kept_.empty()) {
                std::unique_ptr<T> object = std::move(kept_.back());
                kept_.pop_back();
                return Loan(*this, std::move(object));
            }
        }
        return Loan(*this, std::make_unique<T>());
    }

  private:
    void put_back(std::unique_ptr<T> object) noexcept {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (lock && kept_.size() < kKept) kept_.push_back(std::move(object));
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> kept_;
};

}  // namespace galvo
