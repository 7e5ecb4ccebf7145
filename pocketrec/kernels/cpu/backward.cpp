// The gradients, and the backward fused with an optimiser's step, as torch ops.
#include "accumulate.h"
#include "rows.h"
#include "tensors.h"
#include "update.h"

namespace pocketrec {

constexpr int64_t kSamplesPerTask = 64;

Tensor lookup_backward(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout) {
  Tensor grad_memory = torch::stable::new_empty(memory, memory.sizes());
  POCKETREC_DISPATCH(memory, "lookup_backward", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    scalar_t* to = mutable_data<scalar_t>(grad_memory);
    accumulate(gradient, {data<scalar_t>(memory), nullptr}, memory.numel(), [&](const Sums<SumOf<scalar_t>>& sums) {
      for (int64_t i = 0; i < sums.last - sums.first; ++i) to[sums.first + i] = static_cast<scalar_t>(sums.values[i]);
    });
  });
  return grad_memory;
}

// Calls use(step) with the rule's step.
template <class S, class Use>
void with_step(int64_t rule, const Constants& constants, const Use& use) {
  if (rule == kSgd) use(Sgd<S>(constants));
  if (rule == kAdagrad) use(Adagrad<S>(constants));
  if (rule == kAdam) use(Adam<S>(constants));
}

// `scratch` is for kernels of other devices (ops/update.py).
void lookup_update_(Tensor grad, Tensor memory, std::optional<Tensor> /*scratch*/, std::optional<Tensor> first, std::optional<Tensor> second, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t rule, std::vector<double> constants) {
  const Constants c{constants[0], constants[1], constants[2], constants[3], constants[4], constants[5], constants[6]};
  const bool idle = rule != kAdam && c.weight_decay == 0;
  POCKETREC_DISPATCH(memory, "lookup_update_", [&] {
    using Sum = SumOf<scalar_t>;
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    scalar_t* slots = mutable_data<scalar_t>(memory);
    Sum *one = mutable_data<Sum>(first), *two = mutable_data<Sum>(second);
    with_step<Sum>(rule, c, [&](const auto& step) {
      accumulate(gradient, {slots, nullptr}, memory.numel(), [&](const Sums<Sum>& sums) {
        update(step, static_cast<Sum>(c.weight_decay), idle, slots, sums, one, two);
      });
    });
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

bool backward_uses_avx2(Tensor) { return kAvx2; }

}  // namespace pocketrec

STABLE_TORCH_LIBRARY_IMPL(POCKETREC_OPS, CPU, m) {
  m.impl("backward_uses_avx2", TORCH_BOX(&pocketrec::backward_uses_avx2));
  m.impl("lookup_backward", TORCH_BOX(&pocketrec::lookup_backward));
  m.impl("lookup_backward_rows", TORCH_BOX(&pocketrec::lookup_backward_rows));
  m.impl("lookup_backward_weights", TORCH_BOX(&pocketrec::lookup_backward_weights));
  m.impl("lookup_update_", TORCH_BOX(&pocketrec::lookup_update_));
}
