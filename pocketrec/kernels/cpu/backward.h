// The gradient to the memory: every row's gradient added to the slots it was read from.
//
// Ids are taken a tile at a time. Each chunk of the tile is hashed once; then tasks that own disjoint ranges of slots walk
// the tile, each adding what falls into its range. Every slot's sum thus has one order, that of the ids: the same bits
// for any number of tasks, with neither private copies nor atomics.
#pragma once
#include <algorithm>
#include <vector>

#include "bags.h"
#include "maximum.h"
#include "stream.h"

namespace pocketrec {

constexpr int64_t kTileChunks = 1 << 16;
constexpr int64_t kTouchBlock = 128;  // slots a `touched` flag speaks for

template <class T>
class Backward {
 public:
  using Sum = SumOf<T>;
  using Grad = OutOf<T>;

  // `sums` holds a value a slot; `touched`, where given, a flag a block of slots.
  Backward(const Bags<T>& bags, const Grad* grad, Sum* sums, uint8_t* touched)
      : bags_(bags), grad_(grad), sums_(sums), touched_(touched) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      stride_ = std::max(stride_, f.num_chunks());
      if (f.sign == kPerElement || f.chunk != bags.features[0].chunk) uniform_ = false;
    }
    rows_.resize(std::min(std::max<int64_t>(1, kTileChunks / stride_), bags.num_ids));
    starts_.resize(rows_.size() * stride_);
  }

  int64_t tile_size() const { return rows_.size(); }
  void set_tile(int64_t first) { first_ = first; }

  // Hashes ids [first, last), which lie in the tile.
  void hash(int64_t first, int64_t last) {
    int64_t bag = bag_of(first), factor_of = -1;
    Sum pool = 1;
    for (int64_t i = first; i < last; ++i) {
      if (bags_.offsets) while (bags_.offsets[bag + 1] <= i) ++bag; else bag = i;
      const int64_t feature = bags_.offsets ? bag / bags_.num_samples : bag % bags_.num_features;
      const int64_t sample = bags_.offsets ? bag % bags_.num_samples : bag / bags_.num_features;
      const Feature& f = bags_.features[feature];
      Row& row = rows_[i - first_];
      row.feature = nullptr;
      if (f.mode == kMax || bags_.indices[i] == f.padding) continue;
      if (bag != factor_of && f.mode == kMean) {
        const int64_t begin = bags_.begin(sample, feature), end = bags_.end(sample, feature);
        pool = bags_.pool_factor(f, bags_.count(f, begin, end));
      }
      factor_of = bag;
      row = Row{&f, grad_ + sample * bags_.width + f.column, bags_.indices[i], (f.mode == kMean ? pool : Sum(1)) * bags_.weight(i)};
      hash_chunks(f, row.id, 0, f.num_chunks(), starts_.data() + (i - first_) * stride_);
    }
  }

  // Adds the first `count` ids of the tile to slots [lo, hi).
  void add(int64_t count, int64_t lo, int64_t hi) const {
    Pending pending[kPending];
    int64_t waiting = 0;
    for (int64_t r = 0; r < count; ++r) {
      const Row& row = rows_[r];
      if (!row.feature) continue;
      const Feature& f = *row.feature;
      const Start* starts = starts_.data() + r * stride_;
      const int64_t chunks = f.num_chunks(), region_end = f.base + f.span;
      for (int64_t c = 0; c < chunks;) {
        const int64_t stop = std::min(chunks, c + kPending - waiting);
        for (; c < stop; ++c) {
          pending[waiting] = Pending{&row, starts[c], c * f.chunk};
          const int64_t slot = starts[c] >> 1, end = slot + f.chunk;
          waiting += (slot < hi && end > lo) | (end > region_end);  // counted without a branch: half are another's
        }
        if (waiting == kPending) {
          add_pending(pending, waiting, lo, hi);
          waiting = 0;
        }
      }
    }
    add_pending(pending, waiting, lo, hi);
  }

  // Adds all bags of features that take the maximum to slots [lo, hi): each element's gradient to the row that won it.
  void add_maxima(const Memory<T>& memory, int64_t lo, int64_t hi) const {
    Maximum<T> maximum(bags_.width);
    std::vector<Start> starts(stride_);
    for (int64_t j = 0; j < bags_.num_features; ++j) {
      const Feature& f = bags_.features[j];
      if (f.mode != kMax) continue;
      for (int64_t b = 0; b < bags_.num_samples; ++b) {
        const int64_t first = bags_.begin(b, j), last = bags_.end(b, j);
        maximum.of_bag(bags_, f, memory, first, last);
        const Grad* grad = grad_ + b * bags_.width + f.column;
        for (int64_t i = first; i < last; ++i) {
          if (bags_.indices[i] == f.padding) continue;
          hash_chunks(f, bags_.indices[i], 0, f.num_chunks(), starts.data());
          for_each_run(f, bags_.indices[i], starts.data(), 0, f.dim, [&](int64_t element, int64_t slot, int64_t n, bool negated) {
            for (int64_t k = std::max(lo - slot, int64_t(0)); k < std::min(n, hi - slot); ++k) {
              if (maximum.winners()[element + k] != i) continue;
              const Sum g = static_cast<Sum>(grad[element + k]);
              sums_[slot + k] += negated ? -g : g;
              touch(slot + k, 1);
            }
          });
        }
      }
    }
  }

 private:
  struct Row {
    const Feature* feature;  // null: adds nothing here
    const Grad* grad;
    int64_t id;
    Sum factor;
  };
  struct Pending {
    const Row* row;
    Start start;
    int64_t element;
  };
  static constexpr int64_t kPending = 64;

  int64_t bag_of(int64_t position) const {
    if (!bags_.offsets) return position;
    const int64_t* end = bags_.offsets + bags_.num_samples * bags_.num_features + 1;
    return std::upper_bound(bags_.offsets, end, position) - bags_.offsets - 1;
  }

  void add_pending(const Pending* pending, int64_t count, int64_t lo, int64_t hi) const {
    for (int64_t k = 0; k < count; ++k) {
      prefetch(pending[k].row->grad + pending[k].element, pending[k].row->feature->chunk * sizeof(Grad));
      prefetch(sums_ + (pending[k].start >> 1), pending[k].row->feature->chunk * sizeof(Sum));
    }
    if (!uniform_) {
      for (int64_t k = 0; k < count; ++k) add_chunk(*pending[k].row, pending[k].start, pending[k].element, lo, hi);
      return;
    }
    // The common case, on its own: whole chunks of one length that lie inside the range.
    with_chunk(bags_.features[0].chunk, [&](auto chunk) {
      for (int64_t k = 0; k < count; ++k) {
        const Pending& p = pending[k];
        const Feature& f = *p.row->feature;
        const int64_t slot = p.start >> 1;
        if (slot < lo || slot + chunk > std::min(hi, f.base + f.span) || p.element + chunk > f.dim) {
          add_chunk(*p.row, p.start, p.element, lo, hi);
          continue;
        }
        add_scaled(sums_ + slot, p.row->grad + p.element, chunk, p.start & 1 ? -p.row->factor : p.row->factor);
        touch(slot, chunk);
      }
    });
  }

  void add_chunk(const Row& row, Start start, int64_t element, int64_t lo, int64_t hi) const {
    const Feature& f = *row.feature;
    const int64_t end = std::min(f.dim, element + f.chunk);
    for_each_run(f, row.id, &start, element, end, [&](int64_t e, int64_t slot, auto n, bool negated) {
      const Sum factor = negated ? -row.factor : row.factor;
      if (slot >= lo && slot + n <= hi) {
        add_scaled(sums_ + slot, row.grad + e, n, factor);
        touch(slot, n);
      } else {
        const int64_t first = std::max(lo - slot, int64_t(0)), last = std::min<int64_t>(n, hi - slot);
        if (first < last) add_scaled(sums_ + slot + first, row.grad + e + first, last - first, factor);
        if (first < last) touch(slot + first, last - first);
      }
    });
  }

  void touch(int64_t slot, int64_t n) const {
    if (!touched_) return;
    for (int64_t b = slot / kTouchBlock; b <= (slot + n - 1) / kTouchBlock; ++b) touched_[b] = 1;
  }

  const Bags<T>& bags_;
  const Grad* grad_;
  Sum* sums_;
  uint8_t* touched_;
  bool uniform_ = true;
  int64_t stride_ = 1, first_ = 0;
  std::vector<Row> rows_;
  std::vector<Start> starts_;
};

}  // namespace pocketrec
