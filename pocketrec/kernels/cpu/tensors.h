// Tensors of the LibTorch stable ABI -> the raw pointers that the kernels work on. Arguments are checked in Python
// (pocketrec/ops); here they are trusted.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/Dispatch.h>

#include <optional>

#include "bags.h"
#include "halves.h"

// The namespace of this build's ops: builds for several instruction sets can be loaded side by side.
#ifndef POCKETREC_OPS
#define POCKETREC_OPS pocketrec_cpu
#endif

namespace pocketrec {

// Whether an object was compiled for AVX2; each of them says so (tests/test_builds.py), for they must not be mixed.
#if defined(__AVX2__)
constexpr bool kAvx2 = true;
#else
constexpr bool kAvx2 = false;
#endif

using torch::stable::Tensor;
using torch::stable::parallel_for;

#define POCKETREC_FLOATS(...) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Float, __VA_ARGS__) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Double, __VA_ARGS__) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::BFloat16, __VA_ARGS__) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Half, __VA_ARGS__)

#define POCKETREC_DISPATCH(MEMORY, NAME, ...) \
  THO_DISPATCH_SWITCH((MEMORY).scalar_type(), NAME, POCKETREC_FLOATS(__VA_ARGS__))

#define POCKETREC_DISPATCH_QUANTIZED(MEMORY, NAME, ...) \
  THO_DISPATCH_SWITCH((MEMORY).scalar_type(), NAME, POCKETREC_FLOATS(__VA_ARGS__) \
    THO_DISPATCH_CASE(torch::headeronly::ScalarType::Char, __VA_ARGS__))

template <class T>
const T* data(const Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); }
template <class T>
const T* data(const std::optional<Tensor>& t) { return t ? data<T>(*t) : nullptr; }
template <class T>
T* mutable_data(const Tensor& t) { return static_cast<T*>(t.mutable_data_ptr()); }
template <class T>
T* mutable_data(const std::optional<Tensor>& t) { return t ? mutable_data<T>(*t) : nullptr; }

inline int64_t num_samples(const Tensor& indices, const std::optional<Tensor>& offsets, const Tensor& layout) {
  if (!offsets) return indices.size(0);
  return layout.size(0) ? (offsets->numel() - 1) / layout.size(0) : 0;
}

template <class T>
Bags<T> unpack(const Tensor& indices, const std::optional<Tensor>& offsets, const std::optional<Tensor>& weights, const Tensor& layout, int64_t width) {
  return Bags<T>{data<int64_t>(indices), data<int64_t>(offsets), data<OutOf<T>>(weights),
                 reinterpret_cast<const Feature*>(data<int64_t>(layout)), indices.numel(),
                 num_samples(indices, offsets, layout), layout.size(0), width, indices.dim() == 3 ? indices.size(2) : 1};
}

}  // namespace pocketrec
