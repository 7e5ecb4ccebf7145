// The hashes of pocketrec/hashing.py, bit for bit. Unsigned throughout: signed overflow is undefined in C++.
#pragma once
#include <cstdint>

namespace pocketrec {

constexpr uint64_t kIdStep = 0x9E3779B97F4A7C15ull;
constexpr uint64_t kChunkStep = 0xD1B54A32D192ED03ull;
constexpr uint64_t kPrime = 2038074743ull;

inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

inline uint64_t scale(uint64_t hashed, uint64_t n) { return ((hashed >> 32) * n) >> 32; }

// The part of the mixing hash that all chunks of a row share.
inline uint64_t mixing_row(uint64_t id, uint64_t key) { return mix64(id * kIdStep + key); }
inline uint64_t mixing_chunk(uint64_t row, uint64_t chunk) {
  uint64_t hashed = mix64(row + chunk * kChunkStep);
#if defined(__AVX2__) && defined(__GNUC__)
  // Keeps compilers from hashing four chunks at once: AVX2 has no product of 64 bits, and emulating it is slower.
  __asm__("" : "+r"(hashed));
#endif
  return hashed;
}

// The parts of the linear hash that depend on the id and on the chunk (or, for signs, the element).
inline uint64_t linear_row(uint64_t id, uint64_t constant, uint64_t id_factor) {
  return (id % kPrime) * id_factor % kPrime + constant;
}
inline uint64_t linear_chunk(uint64_t row, uint64_t chunk, uint64_t chunk_factor) {
  return (row + chunk * chunk_factor % kPrime) % kPrime;
}

}  // namespace pocketrec
