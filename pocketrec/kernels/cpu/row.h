// Where a row of a virtual table lies in the memory: the layout of pocketrec/ops/layout.py, and a walk over the pieces
// of a row. A piece is a run of consecutive slots; a chunk that runs past the end of its region wraps: two pieces.
#pragma once
#include <algorithm>
#include <cstdint>

#include "hash.h"

namespace pocketrec {

enum Rule : int64_t { kDirect = 0, kMixing = 1, kLinear = 2 };
enum Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };
enum Sign : int64_t { kUnsigned = 0, kPerChunk = 1, kPerElement = 2 };

// One row of the layout tensor; the order is that of FeatureLayout in ops/layout.py.
struct Feature {
  int64_t rule, num_embeddings, padding, dim, column, mode, base, span, chunk, align, places, sign;
  int64_t place_coefficients[3], sign_coefficients[3];
};
constexpr int64_t kLayoutWidth = 18;
static_assert(sizeof(Feature) == kLayoutWidth * sizeof(int64_t), "Feature mirrors a layout row");

struct Piece {
  int64_t element;  // first element of the row it holds
  int64_t slot;     // where that element lies in the memory
  int64_t length;
};

// +1 or -1 for every element of one row.
struct Signs {
  const Feature& feature;
  uint64_t linear_sign_row;
  float chunk_sign;

  float operator()(int64_t element) const {
    if (feature.sign != kPerElement) return chunk_sign;
    return linear_chunk(linear_sign_row, element, feature.sign_coefficients[2]) % 2 ? 1.0f : -1.0f;
  }
};

// Calls visit(piece, signs) for every piece of row `id`, in order of elements.
template <class Visit>
inline void for_each_piece(const Feature& f, int64_t id, const Visit& visit) {
  uint64_t row = 0;
  Signs signs{f, 0, 1.0f};
  if (f.rule == kMixing) row = mixing_row(id, f.place_coefficients[0]);
  if (f.rule == kLinear) row = linear_row(id, f.place_coefficients[0], f.place_coefficients[1]);
  if (f.sign == kPerElement) signs.linear_sign_row = linear_row(id, f.sign_coefficients[0], f.sign_coefficients[1]);

  for (int64_t chunk = 0, element = 0; element < f.dim; ++chunk, element += f.chunk) {
    uint64_t place = id;
    if (f.rule == kMixing) {
      const uint64_t hashed = mixing_chunk(row, chunk);
      place = scale(hashed, f.places);
      if (f.sign == kPerChunk) signs.chunk_sign = hashed & 1 ? -1.0f : 1.0f;
    } else if (f.rule == kLinear) {
      place = linear_chunk(row, chunk, f.place_coefficients[2]) % static_cast<uint64_t>(f.places);
    }
    const int64_t start = static_cast<int64_t>(place) * f.align;
    const int64_t length = std::min(f.chunk, f.dim - element);
    const int64_t before_end = std::min(length, f.span - start);
    visit(Piece{element, f.base + start, before_end}, signs);
    if (before_end < length) visit(Piece{element + before_end, f.base, length - before_end}, signs);
  }
}

}  // namespace pocketrec
