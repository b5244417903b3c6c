"""Divergence of predictions between student and teacher, for distillation."""

from __future__ import annotations

import torch
from torch.nn import functional


def softened_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, multi_label: bool = False
) -> torch.Tensor:
    """Compute the KL divergence of softened student and teacher predictions, times the squared temperature.

    Hinton, Vinyals & Dean 2015, arXiv:1503.02531; the square keeps the size of gradients independent of the
    temperature.

    Args:
        student: (n, labels) logits.
        teacher: (n, labels) logits.
        temperature: Divisor of both logits.
        multi_label: Treat every label as a separate yes or no, and average the divergences of the labels.

    Returns:
        Sum over examples.
    """
    student_logits, teacher_logits = student.float() / temperature, teacher.float() / temperature
    if multi_label:
        log_yes, log_no = functional.logsigmoid(teacher_logits), functional.logsigmoid(-teacher_logits)
        per_label = log_yes.exp() * (log_yes - functional.logsigmoid(student_logits)) + log_no.exp() * (
            log_no - functional.logsigmoid(-student_logits)
        )
        return per_label.mean(dim=-1).sum() * temperature**2
    target = torch.log_softmax(teacher_logits, dim=-1)
    prediction = torch.log_softmax(student_logits, dim=-1)
    return functional.kl_div(prediction, target, reduction="sum", log_target=True) * temperature**2
