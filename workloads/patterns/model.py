"""Models that are trained: their public sizes, and what a layer of them computes and sends.

In: a model's name, tokens a rank, an accelerator's speed. Out: bytes of parameters and activations, seconds
of computation. Owns the table. A layer of a transformer has 12 h^2 parameters without a gate and with as many
heads for keys as for queries; a forward pass takes 2 operations a parameter and token, a backward pass twice
as many (Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

_OPERATIONS = 2  # a parameter and token, forward


@dataclass(frozen=True, slots=True)
class ModelSize:
    """`parameters`: of one layer. `source`: where the numbers are published."""

    name: str
    layers: int
    hidden: int
    parameters: int
    source: str

    def forward_us(self, tokens: int, tflops: float) -> float:
        """Microseconds of one layer on an accelerator that reaches `tflops` (1e12 operations a second)."""
        return _OPERATIONS * self.parameters * tokens / (tflops * 1e12) * 1e6

    def activation_bytes(self, tokens: int, element_bytes: int) -> int:
        """What a layer hands to the next one."""
        return tokens * self.hidden * element_bytes


def _plain(name: str, layers: int, hidden: int, source: str) -> ModelSize:
    return ModelSize(name, layers, hidden, 12 * hidden * hidden, source)


def _gated(name: str, layers: int, hidden: int, inner: int, key_value: int, source: str) -> ModelSize:
    """Attention with `key_value` columns for keys and for values; three matrices of hidden x inner."""
    attention = 2 * hidden * hidden + 2 * hidden * key_value
    return ModelSize(name, layers, hidden, attention + 3 * hidden * inner, source)


MODELS = {
    each.name: each
    for each in (
        _plain("gpt2", 12, 768, "Radford et al., 2019, table 2"),
        _plain("bert-large", 24, 1024, "Devlin et al., 2018, section 3"),
        _plain("gpt2-xl", 48, 1600, "Radford et al., 2019, table 2"),
        _plain("gpt3-175b", 96, 12288, "Brown et al., 2020, table 2.1"),
        _gated("llama2-7b", 32, 4096, 11008, 4096, "Touvron et al., 2023, and its published configuration"),
        _gated("llama3-8b", 32, 4096, 14336, 1024, "Llama team, 2024, table 3"),
        _gated("llama3-70b", 80, 8192, 28672, 1024, "Llama team, 2024, table 3"),
    )
}
