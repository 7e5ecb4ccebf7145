// The gradient to the memory, second way: the runs of a tile of ids are sorted into bins by where they lie in the memory,
// and tasks that own disjoint bins add them up, one bin after the other, in sums that stay in the nearest caches. A bin's
// runs keep the order of the ids, so every slot's sum has one order: the same bits for any number of tasks.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "gradient.h"
#include "stream.h"
#include "sums.h"

namespace pocketrec {

constexpr int64_t kLeastTileRuns = 1 << 12;     // sorted at once
constexpr int64_t kMostTinyTileRuns = 1 << 22;  // the same where a run is hardly longer than what is noted of it
constexpr int64_t kTinyRun = 4;                 // elements
constexpr int64_t kRunsAhead = 16;

template <class T>
class Bins {
 public:
  Bins(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks) : gradient_(gradient), num_slots_(num_slots), num_bins_((num_slots + kBinSlots - 1) / kBinSlots), tasks_(tasks) {
    const Bags<T>& bags = gradient.bags;
    int64_t most_runs = 1, longest = 1;  // of one id
    for (int64_t j = 0; j < bags.num_features; ++j) {
      stride_ = std::max(stride_, bags.features[j].num_chunks());
      most_runs = std::max(most_runs, bags.features[j].num_runs());
      longest = std::max(longest, bags.features[j].dim);
    }
    // What is noted of the runs must not outweigh one memory a task.
    const int64_t noted = sizeof(Run) + sizeof(Start), memories = num_slots * tasks * static_cast<int64_t>(sizeof(T));
    int64_t tile_runs = std::max(kLeastTileRuns, memories / noted);
    if (most_runs * kTinyRun > longest) tile_runs = std::min(tile_runs, kMostTinyTileRuns);
    tile_ids_ = std::min(std::max<int64_t>(1, tile_runs / most_runs), bags.num_ids);
    starts_.reset(new Start[tile_ids_ * stride_]);
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
    num_runs_ = total;
    if (total > room_) {
      runs_.reset();  // before the next are asked for
      runs_.reset(new Run[total]);
      room_ = total;
    }
  }

  void place_runs(int64_t task) {
    std::vector<int64_t> next(num_bins_);
    for (int64_t bin = 0; bin < num_bins_; ++bin) next[bin] = ends_[bin * tasks_ + task];
    gradient_.for_each_row(first_id(task), first_id(task + 1), [&](int64_t i, const RowGradient<T>& row) {
      if (!row.feature) return;
      for_each_binned(row, starts_of(i), [&](int64_t bin, int64_t element, int64_t slot, int64_t n, bool negated) {
        runs_[next[bin]++] = Run{row.grad + element, negated ? -row.factor : row.factor, static_cast<uint16_t>(slot), static_cast<uint16_t>(n)};
      });
    });
  }

  // Adds up the bins of a task, each in sums_of(first slot, last slot), and calls done(sums) for each.
  template <class SumsOf, class Done>
  void add_runs(int64_t task, bool sums_are_far, const SumsOf& sums_of, const Done& done) const {
    const int64_t last_bin = first_bin(task + 1), last_run = begin_of(last_bin);
    for (int64_t bin = first_bin(task); bin < last_bin; ++bin) {
      const Sums<SumOf<T>> sums = sums_of(bin * kBinSlots, std::min((bin + 1) * kBinSlots, num_slots_));
      const int64_t end = begin_of(bin + 1);
      if (sums_are_far) for (int64_t r = begin_of(bin); r < std::min(begin_of(bin) + kRunsAhead, end); ++r) prefetch(sums.values + runs_[r].slot, 1);
      for (int64_t r = begin_of(bin); r < end; ++r) {
        if (r + kRunsAhead < last_run) prefetch(runs_[r + kRunsAhead].grad, runs_[r + kRunsAhead].length * sizeof(OutOf<T>));
        if (sums_are_far && r + kRunsAhead < end) prefetch(sums.values + runs_[r + kRunsAhead].slot, 1);
        const Run& run = runs_[r];
        with_chunk(run.length, [&](auto n) { add_scaled(sums.values + run.slot, run.grad, n, run.factor); });
        sums.touch(run.slot, run.length);
      }
      done(sums);
    }
  }

 private:
  struct Run {
    const OutOf<T>* grad;
    SumOf<T> factor;
    uint16_t slot, length;  // in its bin
  };

  int64_t first_id(int64_t task) const { return first_ + count_ * task / tasks_; }
  Start* starts_of(int64_t id) { return starts_.get() + (id - first_) * stride_; }

  int64_t begin_of(int64_t bin) const { return bin < num_bins_ ? ends_[bin * tasks_] : num_runs_; }

  // The bins are shared out by their runs, so that ids which everyone asks for do not leave the other tasks waiting.
  int64_t first_bin(int64_t task) const {
    const int64_t wanted = num_runs_ * task / tasks_;
    int64_t bin = task == tasks_ ? num_bins_ : 0;
    while (bin < num_bins_ && begin_of(bin) < wanted) ++bin;
    return bin;
  }

  // Calls body(bin, element, slot in the bin, length, negated) for each run of a row, split where a bin ends.
  template <class Body>
  void for_each_binned(const RowGradient<T>& row, const Start* starts, const Body& body) const {
    const Feature& f = *row.feature;
    const auto split = [&](int64_t element, int64_t slot, int64_t n, bool negated) {
      while (n > 0) {
        const int64_t in_bin = slot & (kBinSlots - 1), length = std::min(n, kBinSlots - in_bin);
        body(slot >> kBinBits, element, in_bin, length, negated);
        element += length, slot += length, n -= length;
      }
    };
    if (f.sign == kPerElement) return for_each_run(f, row.id, starts, 0, f.dim, split);
    for (int64_t element = 0; element < f.dim; element += f.chunk, ++starts) runs_of_chunk(f, *starts, element, std::min(f.chunk, f.dim - element), split);
  }

  const Gradient<T>& gradient_;
  int64_t num_slots_, num_bins_, tasks_, stride_ = 1, tile_ids_ = 0, first_ = 0, count_ = 0;
  int64_t num_runs_ = 0, room_ = 0;
  std::vector<int64_t> ends_;  // of each (bin, task): its number of runs, then where they are put
  std::unique_ptr<Start[]> starts_;
  std::unique_ptr<Run[]> runs_;
};

}  // namespace pocketrec
