// Where a row of a virtual table lies in the memory: the layout of pocketrec/ops/layout.py, the hashes of a row's chunks,
// and a walk over its runs. A run is a stretch of consecutive slots; a chunk that passes the end of its region wraps,
// and makes two.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hash.h"

namespace pocketrec {

enum Rule : int64_t { kDirect = 0, kMixing = 1, kLinear = 2 };
enum Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };
enum Sign : int64_t { kUnsigned = 0, kPerChunk = 1, kPerElement = 2 };

// One row of the layout tensor; the order is that of FeatureLayout in ops/layout.py.
struct Feature {
  int64_t rule, num_embeddings, padding, dim, column, mode, base, span, chunk, align, places, sign;
  int64_t place_coefficients[3], sign_coefficients[3];
  int64_t exact, exact_base;

  // Rows are shorter than 2^31: the short division is several times faster, and this one is asked for every row.
  int64_t num_chunks() const { return chunk >= dim ? 1 : (static_cast<uint32_t>(dim) + static_cast<uint32_t>(chunk) - 1) / static_cast<uint32_t>(chunk); }
  // Of one row, those that wrap counted once.
  int64_t num_runs() const { return sign == kPerElement ? dim : num_chunks(); }
};
constexpr int64_t kLayoutWidth = 20;
static_assert(sizeof(Feature) == kLayoutWidth * sizeof(int64_t), "Feature mirrors a layout row");

// Where a chunk starts: its first slot times two, plus one where the chunk is negated.
using Start = int64_t;

// The starts of `count` chunks of row `id`, from chunk `first` on: one hash a chunk.
inline void hash_chunks(const Feature& f, int64_t id, int64_t first, int64_t count, Start* starts) {
  if (id < f.exact) {
    for (int64_t c = 0; c < count; ++c) starts[c] = (f.exact_base + id * f.dim + (first + c) * f.chunk) * 2;
  } else if (f.rule == kMixing) {
    const uint64_t row = mixing_row(id, f.place_coefficients[0]);
    const uint64_t signed_chunks = f.sign == kPerChunk;
    for (int64_t c = 0; c < count; ++c) {
      const uint64_t hashed = mixing_chunk(row, first + c);
      const int64_t place = scale(hashed, f.places);
      starts[c] = (f.base + place * f.align) * 2 + static_cast<int64_t>(hashed & signed_chunks);
    }
  } else if (f.rule == kLinear) {
    const uint64_t row = linear_row(id, f.place_coefficients[0], f.place_coefficients[1]);
    for (int64_t c = 0; c < count; ++c) {
      // Both are below 2^32, where division is fastest.
      const uint32_t hashed = linear_chunk(row, first + c, f.place_coefficients[2]);
      starts[c] = (f.base + hashed % static_cast<uint32_t>(f.places) * f.align) * 2;
    }
  } else {
    for (int64_t c = 0; c < count; ++c) starts[c] = (f.base + id * f.align) * 2;
  }
}

template <int64_t N> using Fixed = std::integral_constant<int64_t, N>;

// Calls body(chunk), as a constant where it is a common one: loops of known length have no heads and tails.
template <class Body>
inline void with_chunk(int64_t chunk, const Body& body) {
  switch (chunk) {
    case 1: return body(Fixed<1>{});
    case 4: return body(Fixed<4>{});
    case 8: return body(Fixed<8>{});
    case 16: return body(Fixed<16>{});
    case 32: return body(Fixed<32>{});
    case 64: return body(Fixed<64>{});
    case 128: return body(Fixed<128>{});
    default: return body(chunk);
  }
}

// Calls body(element, slot, length, negated) for the one or two runs of a chunk of `length` elements from `element` on.
template <class Body>
inline void runs_of_chunk(const Feature& f, Start start, int64_t element, int64_t length, const Body& body) {
  const int64_t slot = start >> 1, before_end = std::min(length, f.base + f.span - slot);
  body(element, slot, before_end, (start & 1) != 0);
  if (before_end < length) body(element + before_end, f.base, length - before_end, (start & 1) != 0);
}

// +1 or -1 for each element of row `id`, where signs are per element.
struct ElementSigns {
  uint64_t row, factor;
  ElementSigns(const Feature& f, int64_t id)
      : row(linear_row(id, f.sign_coefficients[0], f.sign_coefficients[1])), factor(f.sign_coefficients[2]) {}
  bool negated(int64_t element) const { return linear_chunk(row, element, factor) % 2 == 0; }
};

// Calls body(element, slot, length, negated) for all runs of elements [element, end) of row `id`, in order; `element` is
// the first of a chunk, and `starts` has that chunk's start and the following ones'.
template <class Body>
inline void for_each_run(const Feature& f, int64_t id, const Start* starts, int64_t element, int64_t end, const Body& body) {
  if (f.sign == kPerElement) {
    const ElementSigns signs(f, id);
    for (; element < end; element += f.chunk, ++starts) {
      runs_of_chunk(f, *starts, element, std::min(f.chunk, end - element), [&](int64_t e, int64_t slot, int64_t n, bool) {
        for (int64_t i = 0; i < n; ++i) body(e + i, slot + i, Fixed<1>{}, signs.negated(e + i));
      });
    }
    return;
  }
  with_chunk(f.chunk, [&](auto chunk) {
    const int64_t region_end = f.base + f.span;
    for (; element + chunk <= end; element += chunk, ++starts) {
      const int64_t slot = *starts >> 1;
      if (slot + chunk <= region_end) {
        body(element, slot, chunk, (*starts & 1) != 0);
      } else {
        runs_of_chunk(f, *starts, element, chunk, body);
      }
    }
    if (element < end) runs_of_chunk(f, *starts, element, end - element, body);
  });
}

}  // namespace pocketrec
