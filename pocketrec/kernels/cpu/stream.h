// Stores that go past the caches: an output larger than they are would only push the memory out of them.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pocketrec {

constexpr int64_t kLine = 64;

// Asks for all cache lines of `bytes` bytes; never faults, so a stretch may pass the end of its array.
inline void prefetch(const void* address, int64_t bytes) {
#if defined(__GNUC__) || defined(__clang__)
  const char* end = static_cast<const char*>(address) + bytes - 1;
  for (const char* line = static_cast<const char*>(address); line < end; line += kLine) __builtin_prefetch(line);
  __builtin_prefetch(end);
#else
  (void)address, (void)bytes;
#endif
}

inline void stream_copy(void* to, const void* from, int64_t bytes) {
#if defined(__AVX2__)
  if (reinterpret_cast<uintptr_t>(to) % 32 == 0 && bytes % 32 == 0) {
    auto* target = static_cast<__m256i*>(to);
    const auto* source = static_cast<const __m256i*>(from);
    for (int64_t i = 0; i < bytes / 32; ++i) _mm256_stream_si256(target + i, _mm256_loadu_si256(source + i));
    return;
  }
#endif
#if defined(__SSE2__)
  if (reinterpret_cast<uintptr_t>(to) % 16 == 0 && bytes % 16 == 0) {
    auto* target = static_cast<__m128i*>(to);
    const auto* source = static_cast<const __m128i*>(from);
    for (int64_t i = 0; i < bytes / 16; ++i) _mm_stream_si128(target + i, _mm_loadu_si128(source + i));
    return;
  }
#endif
  std::memcpy(to, from, bytes);
}

// Orders streamed stores before whatever follows: once, at the end of a task.
inline void stream_fence() {
#if defined(__SSE2__) || defined(__AVX2__)
  _mm_sfence();
#endif
}

}  // namespace pocketrec
