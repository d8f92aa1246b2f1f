// SPDX-License-Identifier: Apache-2.0
// Memory that starts at a cache line and ends in a tail that vector loads may read beyond the last element.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace zeile {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { reserve(size); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  // At least `size` elements; what grows is zero, and the old content is lost.
  void reserve(size_t size) {
    if (data_ != nullptr && size <= size_) return;
    std::free(data_);
    size_ = size + size / 4;
    const size_t bytes = (size_ * sizeof(T) + kTail + kLine - 1) / kLine * kLine;
    data_ = static_cast<T*>(std::aligned_alloc(kLine, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_), 0, bytes);
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }

 private:
  static constexpr size_t kLine = 64;
  static constexpr size_t kTail = 128;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace zeile
