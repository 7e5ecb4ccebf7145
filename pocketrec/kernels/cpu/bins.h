// The gradient to the memory, second way: the runs of a tile of ids are sorted into bins by where they lie in the memory,
// and tasks that own disjoint bins add them up. A bin's runs keep the order of the ids, so every slot's sum has one order:
// the same bits for any number of tasks, without copies of the memory.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "gradient.h"
#include "stream.h"
#include "touched.h"

namespace pocketrec {

constexpr int64_t kTileRuns = 1 << 18;  // sorted at once; fewer for a small memory, which they should not outweigh
constexpr int64_t kLeastTileRuns = 1 << 12;
constexpr int64_t kBinSlots = 1 << 14;
constexpr int64_t kRunsAhead = 8;

template <class T>
class Bins {
 public:
  Bins(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks) : gradient_(gradient), num_slots_(num_slots), num_bins_((num_slots + kBinSlots - 1) / kBinSlots), tasks_(tasks) {
    const Bags<T>& bags = gradient.bags;
    int64_t most_runs = 1;  // of one id
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      stride_ = std::max(stride_, f.num_chunks());
      most_runs = std::max(most_runs, f.sign == kPerElement ? f.dim : f.num_chunks());
    }
    const int64_t tile_runs = std::min(kTileRuns, std::max(kLeastTileRuns, num_slots * tasks / 8));
    tile_ids_ = std::min(std::max<int64_t>(1, tile_runs / most_runs), bags.num_ids);
    starts_.resize(tile_ids_ * stride_);
    ends_.resize(num_bins_ * tasks_);
  }

  int64_t tile_ids() const { return tile_ids_; }
  void set_tile(int64_t first, int64_t count) { first_ = first, count_ = count; }

  // The three steps of a tile; each is called for every task, and finished before the next begins.
  void count_runs(int64_t task) {
    std::vector<int64_t> runs(num_bins_);
    gradient_.for_each_row(first_id(task), first_id(task + 1), [&](int64_t i, const RowGradient<T>& row) {
      if (!row.feature) return;
      hash_chunks(*row.feature, row.id, 0, row.feature->num_chunks(), starts_of(i));
      for_each_binned(row, starts_of(i), [&](int64_t bin, int64_t, int64_t, int64_t, bool) { ++runs[bin]; });
    });
    for (int64_t bin = 0; bin < num_bins_; ++bin) ends_[bin * tasks_ + task] = runs[bin];
  }

  void make_room() {
    int64_t total = 0;
    for (int64_t& place : ends_) total += std::exchange(place, total);
    runs_.resize(total);
  }

  void place_runs(int64_t task) {
    std::vector<int64_t> next(num_bins_);
    for (int64_t bin = 0; bin < num_bins_; ++bin) next[bin] = ends_[bin * tasks_ + task];
    gradient_.for_each_row(first_id(task), first_id(task + 1), [&](int64_t i, const RowGradient<T>& row) {
      if (!row.feature) return;
      for_each_binned(row, starts_of(i), [&](int64_t bin, int64_t element, int64_t slot, int64_t n, bool negated) {
        runs_[next[bin]++] = Run{slot, row.grad + element, negated ? -row.factor : row.factor, static_cast<int32_t>(n)};
      });
    });
  }

  // Calls finish(first slot, last slot) for every bin of the task once its runs are added, while it is still in cache.
  template <class Finish>
  void add_runs(int64_t task, SumOf<T>* sums, Touched touched, const Finish& finish) const {
    const int64_t last_bin = first_bin(task + 1), last_run = begin_of(last_bin);
    for (int64_t bin = first_bin(task); bin < last_bin; ++bin) {
      const int64_t end = begin_of(bin + 1);
      for (int64_t r = begin_of(bin); r < end; ++r) {
        if (r + kRunsAhead < last_run) {
          const Run& ahead = runs_[r + kRunsAhead];
          prefetch(ahead.grad, ahead.length * sizeof(*ahead.grad));
          prefetch(sums + ahead.slot, ahead.length * sizeof(*sums));
        }
        const Run& run = runs_[r];
        with_chunk(run.length, [&](auto n) { add_scaled(sums + run.slot, run.grad, n, run.factor); });
        touched.mark(run.slot, run.length);
      }
      finish(bin * kBinSlots, std::min((bin + 1) * kBinSlots, num_slots_));
    }
  }

 private:
  struct Run {
    int64_t slot;
    const OutOf<T>* grad;
    SumOf<T> factor;
    int32_t length;
  };

  int64_t first_id(int64_t task) const { return first_ + count_ * task / tasks_; }
  Start* starts_of(int64_t id) { return starts_.data() + (id - first_) * stride_; }

  int64_t begin_of(int64_t bin) const { return bin < num_bins_ ? ends_[bin * tasks_] : static_cast<int64_t>(runs_.size()); }

  // The bins are shared out by their runs, so that ids which everyone asks for do not leave the other tasks waiting.
  int64_t first_bin(int64_t task) const {
    const int64_t wanted = static_cast<int64_t>(runs_.size()) * task / tasks_;
    int64_t bin = task == tasks_ ? num_bins_ : 0;
    while (bin < num_bins_ && begin_of(bin) < wanted) ++bin;
    return bin;
  }

  // Calls body(bin, element, slot, length, negated) for each run of a row, split where a bin ends.
  template <class Body>
  void for_each_binned(const RowGradient<T>& row, const Start* starts, const Body& body) const {
    for_each_run(*row.feature, row.id, starts, 0, row.feature->dim, [&](int64_t element, int64_t slot, int64_t n, bool negated) {
      while (n > 0) {
        const int64_t bin = slot / kBinSlots, length = std::min(n, (bin + 1) * kBinSlots - slot);
        body(bin, element, slot, length, negated);
        element += length, slot += length, n -= length;
      }
    });
  }

  const Gradient<T>& gradient_;
  int64_t num_slots_, num_bins_, tasks_, stride_ = 1, tile_ids_ = 0, first_ = 0, count_ = 0;
  std::vector<Start> starts_;
  std::vector<int64_t> ends_;  // of each (bin, task): its number of runs, then where they are put
  std::vector<Run> runs_;
};

}  // namespace pocketrec
