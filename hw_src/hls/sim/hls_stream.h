// SPDX-License-Identifier: Apache-2.0
// hls::stream for C simulation: a FIFO that is as deep as the synthesised one and remembers its deepest fill.
// One writer and one reader, each in a thread of its own or both in one: empty() that was false stays false until the
// reader reads, full() that was false stays false until the writer writes. read() of an empty and write() to a full
// FIFO are faults of the caller and end the program: units ask first, they never wait.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace hls {

constexpr int kDefaultDepth = 2;  // of a stream without a depth, as synthesised

// What a report needs of any stream.
class stream_base {
 public:
  stream_base(const char* name, int depth) : name_(name), depth_(static_cast<uint32_t>(depth)) {}
  stream_base(const stream_base&) = delete;
  stream_base& operator=(const stream_base&) = delete;

  const char* name() const { return name_; }
  std::size_t capacity() const { return depth_; }
  std::size_t size() const { return Written() - Taken(); }
  std::size_t high_water() const { return high_water_.load(std::memory_order_relaxed); }
  uint32_t traffic() const { return Written() + Taken(); }  // wraps; a change is progress

 protected:
  uint32_t Written() const { return written_.load(std::memory_order_acquire); }
  uint32_t Taken() const { return taken_.load(std::memory_order_acquire); }
  [[noreturn]] void Fault(const char* what) const {
    std::fprintf(stderr, "hls::stream '%s': %s\n", name_, what);
    std::abort();
  }

  const char* name_;
  uint32_t depth_;
  std::atomic<uint32_t> written_{0}, taken_{0}, high_water_{0};
};

template <class T, int kDepth = 0>
class stream;

template <class T>
class stream<T, 0> : public stream_base {
 public:
  explicit stream(const char* name = "?") : stream(name, kDefaultDepth) {}

  bool empty() const { return size() == 0; }
  bool full() const { return size() >= depth_; }

  T read() {
    if (empty()) Fault("read while empty");
    const T value = ring_[read_at_];
    if (++read_at_ == depth_) read_at_ = 0;
    taken_.store(taken_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    return value;
  }
  void read(T& value) { value = read(); }
  bool read_nb(T& value) {
    if (empty()) return false;
    value = read();
    return true;
  }

  void write(const T& value) {
    if (full()) Fault("write while full");
    ring_[write_at_] = value;
    if (++write_at_ == depth_) write_at_ = 0;
    written_.store(written_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    const uint32_t fill = static_cast<uint32_t>(size());
    if (fill > high_water_.load(std::memory_order_relaxed)) high_water_.store(fill, std::memory_order_relaxed);
  }
  bool write_nb(const T& value) {
    if (full()) return false;
    write(value);
    return true;
  }
  stream& operator>>(T& value) {
    value = read();
    return *this;
  }
  stream& operator<<(const T& value) {
    write(value);
    return *this;
  }

 protected:
  stream(const char* name, int depth) : stream_base(name, depth), ring_(new T[static_cast<std::size_t>(depth)]) {}

 private:
  std::unique_ptr<T[]> ring_;
  uint32_t read_at_ = 0, write_at_ = 0;  // each used by one side only
};

template <class T, int kDepth>
class stream : public stream<T, 0> {
 public:
  static_assert(kDepth > 0, "a FIFO has at least one place");
  explicit stream(const char* name = "?") : stream<T, 0>(name, kDepth) {}
};

}  // namespace hls
