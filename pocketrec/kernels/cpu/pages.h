// Large arrays of zeros. The system hands out pages when they are first written; in small ones, a large array that is
// written everywhere costs more to hand out than to write.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pocketrec {

constexpr size_t kHugePage = 2 << 20;

template <class T>
using Zeros = std::unique_ptr<T[], decltype(&std::free)>;

template <class T>
Zeros<T> zeros(int64_t count) {
  const size_t bytes = count * sizeof(T);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= 4 * kHugePage) {
    const size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* pages = std::aligned_alloc(kHugePage, whole);
    if (!pages) throw std::bad_alloc();
    madvise(pages, whole, MADV_HUGEPAGE);
    return {static_cast<T*>(std::memset(pages, 0, bytes)), &std::free};
  }
#endif
  void* array = std::calloc(count, sizeof(T));
  if (!array) throw std::bad_alloc();
  return {static_cast<T*>(array), &std::free};
}

}  // namespace pocketrec
