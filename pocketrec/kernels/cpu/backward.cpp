// The gradients, and the backward fused with an optimiser's step, as torch ops.
#include <vector>

#include "rows.h"
#include "tensors.h"
#include "update.h"

namespace pocketrec {

constexpr int64_t kSamplesPerTask = 64;
constexpr int64_t kIdsPerTask = 512;
constexpr int64_t kBlocksPerTask = 8;  // of kTouchBlock slots

// Calls task(first slot, last slot) in parallel over all slots, in whole blocks.
template <class Task>
void for_slots(int64_t num_slots, const Task& task) {
  parallel_for(0, (num_slots + kTouchBlock - 1) / kTouchBlock, kBlocksPerTask, [&](int64_t first, int64_t last) {
    task(first * kTouchBlock, std::min(last * kTouchBlock, num_slots));
  });
}

// Adds the batch's gradient to `sums`.
template <class T>
void accumulate(const Bags<T>& bags, const OutOf<T>* grad, const Memory<T>& memory, int64_t num_slots, SumOf<T>* sums, uint8_t* touched) {
  if (bags.num_ids == 0) return;
  Backward<T> backward(bags, grad, sums, touched);
  for (int64_t tile = 0; tile < bags.num_ids; tile += backward.tile_size()) {
    const int64_t end = std::min(bags.num_ids, tile + backward.tile_size());
    backward.set_tile(tile);
    parallel_for(tile, end, kIdsPerTask, [&](int64_t first, int64_t last) { backward.hash(first, last); });
    for_slots(num_slots, [&](int64_t lo, int64_t hi) { backward.add(end - tile, lo, hi); });
  }
  for (int64_t j = 0; j < bags.num_features; ++j) {
    if (bags.features[j].mode != kMax) continue;
    for_slots(num_slots, [&](int64_t lo, int64_t hi) { backward.add_maxima(memory, lo, hi); });
    break;
  }
}

Tensor lookup_backward(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout) {
  using torch::headeronly::ScalarType;
  const bool half = memory.scalar_type() == ScalarType::BFloat16 || memory.scalar_type() == ScalarType::Half;
  Tensor sums = torch::stable::new_zeros(memory, memory.sizes(), half ? std::optional(ScalarType::Float) : std::nullopt);
  POCKETREC_DISPATCH(memory, "lookup_backward", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    accumulate(bags, data<scalar_t>(grad), {data<scalar_t>(memory), nullptr}, memory.numel(), mutable_data<SumOf<scalar_t>>(sums), nullptr);
  });
  return half ? torch::stable::to(sums, memory.scalar_type()) : sums;
}

template <class T>
void step_all(int64_t rule, const Constants& constants, T* memory, SumOf<T>* sums, uint8_t* touched, SumOf<T>* first, SumOf<T>* second, int64_t num_slots) {
  const bool idle = rule != kAdam && constants.weight_decay == 0;
  const SumOf<T> decay = constants.weight_decay;
  const auto run = [&](const auto& step) {
    for_slots(num_slots, [&](int64_t lo, int64_t hi) { update(step, decay, idle, memory, sums, touched, first, second, lo, hi); });
  };
  if (rule == kSgd) run(Sgd<SumOf<T>>(constants));
  if (rule == kAdagrad) run(Adagrad<SumOf<T>>(constants));
  if (rule == kAdam) run(Adam<SumOf<T>>(constants));
}

void lookup_update_(Tensor grad, Tensor memory, Tensor scratch, std::optional<Tensor> first, std::optional<Tensor> second, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t rule, std::vector<double> constants) {
  std::vector<uint8_t> touched((memory.numel() + kTouchBlock - 1) / kTouchBlock);
  const Constants c{constants[0], constants[1], constants[2], constants[3], constants[4], constants[5], constants[6]};
  POCKETREC_DISPATCH(memory, "lookup_update_", [&] {
    using Sum = SumOf<scalar_t>;
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    Sum* sums = mutable_data<Sum>(scratch);
    accumulate(bags, data<scalar_t>(grad), {data<scalar_t>(memory), nullptr}, memory.numel(), sums, touched.data());
    step_all(rule, c, mutable_data<scalar_t>(memory), sums, touched.data(), mutable_data<Sum>(first), mutable_data<Sum>(second), memory.numel());
  });
}

Tensor lookup_backward_rows(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t dim) {
  Tensor grad_rows = torch::stable::new_empty(memory, {indices.numel(), dim});
  POCKETREC_DISPATCH(memory, "lookup_backward_rows", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Memory<scalar_t> values{data<scalar_t>(memory), nullptr};
    parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_rows(bags, values, data<scalar_t>(grad), lo, hi, mutable_data<scalar_t>(grad_rows)); });
  });
  return grad_rows;
}

Tensor lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, Tensor layout) {
  Tensor grad_weights = torch::stable::new_empty(memory, {indices.numel()});
  POCKETREC_DISPATCH(memory, "lookup_backward_weights", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, std::nullopt, layout, grad.size(1));
    const Memory<scalar_t> values{data<scalar_t>(memory), nullptr};
    parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_weights(bags, values, data<scalar_t>(grad), lo, hi, mutable_data<scalar_t>(grad_weights)); });
  });
  return grad_weights;
}

}  // namespace pocketrec

STABLE_TORCH_LIBRARY_IMPL(pocketrec_cpu, CPU, m) {
  m.impl("lookup_backward", TORCH_BOX(&pocketrec::lookup_backward));
  m.impl("lookup_backward_rows", TORCH_BOX(&pocketrec::lookup_backward_rows));
  m.impl("lookup_backward_weights", TORCH_BOX(&pocketrec::lookup_backward_weights));
  m.impl("lookup_update_", TORCH_BOX(&pocketrec::lookup_update_));
}
