"""Sums that do not depend on their order: gradients are added as whole multiples of one quantum, in int64.

Floating-point atomics round in whatever order the threads arrive, so no two runs agree. Integer addition is exact and
commutes: the same gradients give the same bits, in any order of samples, on any card.

The quantum is chosen per call, on the device: with `largest` = the greatest |contribution| rounded up to a power of
two, and `bits` = what the host knows cannot overflow, quantum = largest * 2^-bits. Each contribution is rounded to the
nearest quantum, so a slot that n rows share is off by at most n/2 quanta. bits = 62 - log2(elements looked up), at
most 50: for 65,536 samples of 26 x 128 columns 34, for 2,048 samples 39. In float32 (24 bits) a contribution has to be
a thousand times smaller than the largest before its rounding shows, and then it is lost beside the largest anyway.

A largest contribution below 1e-285 (float64 only) keeps fewer bits: quanta stop at 2^-1000.

A NaN or infinity among the contributions has no quantum: every slot of the result is NaN, so that it is seen.

The accumulator is an int64 array of M + 1: a sum a slot, then the bits of the largest contribution as a float64.
Float64 gradients use it too: about 1e-12 of the largest contribution (2^-40), not float64's own 1e-16.
"""

from __future__ import annotations

import triton
import triton.language as tl

# 1.5 * 2^52: a float64 this large has a unit of 1 in its last place, so adding it rounds to the nearest integer and
# leaves that integer in the low bits. One addition, where a conversion to int64 takes the slow path of the chip.
MAGIC = tl.constexpr(6755399441055744.0)
MAGIC_BITS = tl.constexpr(0x4338000000000000)
INFINITY_BITS = tl.constexpr(0x7FF0000000000000)

MOST_BITS = 50
"""More would not fit below MAGIC."""


def resolution(elements: int) -> int:
    """`bits`, such that `elements` contributions to one slot cannot overflow."""
    return max(min(MOST_BITS, 62 - max(elements, 1).bit_length()), 1)


@triton.jit
def _power_of_two(exponent):
    return ((exponent + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def _exponent(largest_bits, bits):
    """log2 of the reciprocal of the quantum; kept away from the ends of float64's range."""
    largest = (largest_bits >> 52) - 1022
    return tl.minimum(bits - largest, 1000)


@triton.jit
def quanta_per_unit(largest_ptr, bits):
    """What contributions are multiplied by before they are rounded: a power of two, so nothing is lost."""
    return _power_of_two(_exponent(tl.load(largest_ptr), bits))


@triton.jit
def to_quanta(values, per_unit):
    """Float to int64, rounded to nearest. Non-finite values give garbage that `from_quanta` never shows."""
    return (values.to(tl.float64) * per_unit + MAGIC).to(tl.int64, bitcast=True) - MAGIC_BITS


@triton.jit
def from_quanta(sums, largest_ptr, bits, ACC: tl.constexpr):
    """int64 sums to ACC; NaN, all of them, where a contribution was not finite."""
    largest = tl.load(largest_ptr)
    finite = largest < INFINITY_BITS
    unit = _power_of_two(tl.where(finite, -_exponent(largest, bits), 0))
    return tl.where(finite, (sums.to(tl.float64) * unit).to(ACC), float("nan"))


@triton.jit
def size_bits(values, ACC: tl.constexpr):
    """|values| as integers that order like the numbers, with NaN above infinity: their bits without the sign."""
    if ACC == tl.float64:
        sizes = values.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF
    else:
        sizes = values.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    return sizes


@triton.jit
def raise_largest(largest_ptr, sizes, ACC: tl.constexpr):
    """Record the greatest of `sizes`, from `size_bits`."""
    largest = tl.max(tl.reshape(sizes, [sizes.numel]), 0).to(ACC, bitcast=True)
    largest_bits = largest.to(tl.float64).to(tl.int64, bitcast=True)
    # A stale read only costs an atomic; without it thousands of programs would queue at one address.
    if largest_bits > tl.load(largest_ptr):
        tl.atomic_max(largest_ptr, largest_bits, sem="relaxed")


@triton.jit(do_not_specialize=["bits"])
def _from_quanta_kernel(out_ptr, sums_ptr, largest_ptr, num_slots, bits, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """One pass from the sums to the gradient, in the memory's dtype."""
    slots = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.load(sums_ptr + slots, mask=slots < num_slots, other=0)
    values = from_quanta(sums, largest_ptr, bits, ACC)
    tl.store(out_ptr + slots, values.to(out_ptr.dtype.element_ty), mask=slots < num_slots)
