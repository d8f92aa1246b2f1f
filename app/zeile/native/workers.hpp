// SPDX-License-Identifier: Apache-2.0
// A fixed set of threads that run one job after another; the caller is one of them.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace zeile {

class Workers {
 public:
  explicit Workers(int count) {
    for (int i = 1; i < count; ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int count() const { return int(threads_.size()) + 1; }

  // Calls job(worker) for each worker and returns when all have ended; rethrows an exception of any.
  void run(const std::function<void(int)>& job) {
    if (threads_.empty()) return job(0);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      error_ = nullptr;
      left_ = int(threads_.size());
      ++generation_;
    }
    wake_.notify_all();
    attempt(job, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void attempt(const std::function<void(int)>& job, int worker) {
    try {
      job(worker);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::current_exception();
    }
  }

  void serve(int worker) {
    long seen = 0;
    while (true) {
      const std::function<void(int)>* job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return closing_ || generation_ != seen; });
        if (closing_) return;
        seen = generation_;
        job = job_;
      }
      attempt(*job, worker);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--left_ == 0) done_.notify_all();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int)>* job_ = nullptr;
  std::exception_ptr error_;
  long generation_ = 0;
  int left_ = 0;
  bool closing_ = false;
};

}  // namespace zeile
