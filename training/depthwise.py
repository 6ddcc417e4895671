"""Depthwise convolutions whose gradients are quick on CPUs.

oneDNN has quick kernels for the gradient of 3×3 weights, and none for 5×5 or, in 16 bits, for the input of a convolution that skips
pixels: on one core these two took two thirds of a training step. So the gradient of 5×5 weights is put together from those
of the four 3×3 windows in its corners, which are exact, and the input's is taken in 32 bits where pixels are skipped.
"""

import torch
import torch.nn.functional as F

KERNEL = 5


class Depthwise(torch.autograd.Function):
    """x [N, C, H, W], padded already, weight [C, 1, k, k], bias [C], all of one type → [N, C, H', W']."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride):
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride, 0, 1, weight.shape[0])

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            exact = (lambda each: each) if ctx.stride == (1, 1) else torch.Tensor.float
            to_x = _gradient(exact(grad), exact(x), exact(weight), ctx.stride, 0).to(x.dtype)
        if ctx.needs_input_grad[1]:
            to_weight = _of_weights(grad, x, weight, ctx.stride)
        return to_x, to_weight, grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


def _of_weights(grad, x, weight, stride):
    if weight.shape[-1] != KERNEL:
        return _gradient(grad, x, weight, stride, 1)
    whole, corner = torch.empty_like(weight), weight[:, :, :3, :3]
    height, width = ((size - 1) * step + 3 for size, step in zip(grad.shape[2:], stride))
    for top in (0, 2):
        for left in (0, 2):
            window = x[:, :, top:top + height, left:left + width].contiguous(memory_format=torch.channels_last)
            whole[:, :, top:top + 3, left:left + 3] = _gradient(grad, window, corner, stride, 1)
    return whole


def _gradient(grad, x, weight, stride, of):
    """Of the input (0) or of the weights (1)."""
    wanted = [of == each for each in range(3)]
    return torch.ops.aten.convolution_backward(grad, x, weight, None, stride, [0, 0], [1, 1], False, [0, 0], weight.shape[0], wanted)[of]
