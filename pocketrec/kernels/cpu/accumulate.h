// The gradient to the memory: picks the way that is fastest for a batch, and hands out the sums stretch by stretch.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "bins.h"
#include "copies.h"
#include "maximum.h"
#include "pages.h"
#include "sums.h"
#include "tensors.h"

namespace pocketrec {

constexpr int64_t kBlocksPerTask = 8;          // of kTouchBlock slots
constexpr int64_t kElementsPerTask = 1 << 12;  // of the gradient; fewer are not worth a task
constexpr int64_t kLongRun = 64;               // elements; shorter ones cost more to sort than to add to a copy
constexpr int64_t kBinsPerTask = 8;            // with fewer, copies stay in the nearest caches, too

// Calls body(first slot, last slot) in parallel for stretches of at most kBinSlots, in whole blocks.
template <class Body>
void for_slots(int64_t num_slots, const Body& body) {
  parallel_for(0, (num_slots + kTouchBlock - 1) / kTouchBlock, kBlocksPerTask, [&](int64_t first, int64_t last) {
    const int64_t end = std::min(last * kTouchBlock, num_slots);
    for (int64_t lo = first * kTouchBlock; lo < end; lo += kBinSlots) body(lo, std::min(lo + kBinSlots, end));
  });
}

template <class Body>
void for_tasks(int64_t tasks, const Body& body) {
  parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) { for (int64_t task = first; task < last; ++task) body(task); });
}

// All rows by one task, then the maxima. These are looked for before any slot is finished: they read the whole memory.
template <class T, class Finish>
void add_with_maxima(const Gradient<T>& gradient, const Memory<T>& memory, int64_t num_slots, const Finish& finish) {
  std::vector<SumOf<T>> sums(num_slots);
  add_rows(gradient, 0, gradient.bags.num_ids, sums.data());
  for_slots(num_slots, [&](int64_t lo, int64_t hi) { add_maxima(gradient, memory, lo, hi, sums.data()); });
  for_slots(num_slots, [&](int64_t lo, int64_t hi) { finish(Sums<SumOf<T>>{lo, hi, sums.data() + lo, nullptr}); });
}

// Every task adds to sums of its own.
template <class T, class Finish>
void add_in_copies(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, const Finish& finish) {
  using Sum = SumOf<T>;
  const int64_t num_ids = gradient.bags.num_ids;
  const std::unique_ptr<Sum[]> copies(new Sum[tasks * num_slots]);
  const auto copy_of = [&](int64_t task) { return copies.get() + task * num_slots; };
  for_tasks(tasks, [&](int64_t task) {
    std::fill_n(copy_of(task), num_slots, Sum(0));
    add_rows(gradient, num_ids * task / tasks, num_ids * (task + 1) / tasks, copy_of(task));
  });
  for_slots(num_slots, [&](int64_t lo, int64_t hi) {
    for (int64_t task = 1; task < tasks; ++task) add_scaled(copy_of(0) + lo, copy_of(task) + lo, hi - lo, Sum(1));
    finish(Sums<Sum>{lo, hi, copy_of(0) + lo, nullptr});
  });
}

// Every task adds to slots of its own, bin by bin; if all runs are sorted at once, in sums for a single bin.
template <class T, class Finish>
void add_in_bins(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, const Finish& finish) {
  using Sum = SumOf<T>;
  const int64_t num_ids = gradient.bags.num_ids;
  Bins<T> bins(gradient, num_slots, tasks);
  const auto sort = [&](int64_t first, int64_t count) {
    bins.set_tile(first, count);
    for_tasks(tasks, [&](int64_t task) { bins.count_runs(task); });
    bins.make_room();
    for_tasks(tasks, [&](int64_t task) { bins.place_runs(task); });
  };
  if (bins.tile_ids() >= num_ids) {
    sort(0, num_ids);
    for_tasks(tasks, [&](int64_t task) {
      std::vector<Sum> values(kBinSlots);
      std::vector<uint8_t> touched(kBinSlots / kTouchBlock);
      bins.add_runs(task, false, [&](int64_t lo, int64_t hi) { return Sums<Sum>{lo, hi, values.data(), touched.data()}; },
                    [&](const Sums<Sum>& sums) { finish(sums), sums.clear(); });
    });
    return;
  }
  const Zeros<Sum> values = zeros<Sum>(num_slots);
  std::vector<uint8_t> touched((num_slots + kTouchBlock - 1) / kTouchBlock);
  const auto sums_of = [&](int64_t lo, int64_t hi) { return Sums<Sum>{lo, hi, values.get() + lo, touched.data() + lo / kTouchBlock}; };
  for (int64_t tile = 0; tile < num_ids; tile += bins.tile_ids()) {
    sort(tile, std::min(bins.tile_ids(), num_ids - tile));
    for_tasks(tasks, [&](int64_t task) { bins.add_runs(task, true, sums_of, [](const Sums<Sum>&) {}); });
  }
  for_slots(num_slots, [&](int64_t lo, int64_t hi) { finish(sums_of(lo, hi)); });
}

// Adds up the batch's gradient, and calls finish(sums) once for every stretch of slots.
template <class T, class Finish>
void accumulate(const Gradient<T>& gradient, const Memory<T>& memory, int64_t num_slots, const Finish& finish) {
  const Bags<T>& bags = gradient.bags;
  int64_t runs = 0;  // of one id of each feature
  bool maxima = false;
  for (int64_t j = 0; j < bags.num_features; ++j) {
    runs += bags.features[j].num_runs();
    maxima = maxima || bags.features[j].mode == kMax;
  }
  const int64_t elements = bags.num_features ? bags.num_ids * (bags.width / bags.num_features) : 0;
  const int64_t tasks = std::min<int64_t>(torch::stable::get_num_threads(), elements / kElementsPerTask + 1);
  const bool small = num_slots < kBinsPerTask * tasks * kBinSlots, dense = elements >= tasks * num_slots;
  if (maxima) add_with_maxima(gradient, memory, num_slots, finish);
  else if (dense && (small || bags.width < kLongRun * runs)) add_in_copies(gradient, num_slots, tasks, finish);
  else add_in_bins(gradient, num_slots, tasks, finish);
}

}  // namespace pocketrec
