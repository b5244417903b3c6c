"""The `train` section: how weights are trained.

Knows numbers and their ranges. Knows nothing of models, methods or tasks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.recipe.section import Name, Section


class TrainSection(Section):
    """How weights are trained."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the training examples; by default from the method, the budget and the number of labels."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate; by default the method's own."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the budget, the initial weights, dropout and the order of examples."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Examples in one optimizer step, over all processes and accumulation steps; by default 16 on budgets up to 1,000
    labels, else 32; of translations 32."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Forward and backward passes the batch is cut into, to save memory."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW weight decay."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises, before it falls linearly to zero."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability mass spread evenly over all labels, or tokens, in the training loss; by default none, for translation
    0.1."""
    contrastive: Annotated[float, Field(ge=0)] | None = None
    """Weight of the supervised contrastive loss on text vectors, for a pooled encoder and one label an example;
    by default the method's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in the encoder; by default the checkpoint's own, but none for pretrained weights on budgets above
    1,000, where it only costs time. On a CPU it is drawn to the nearest 1/256."""
    head: Literal["auto", "probe", "random"] = "auto"
    """Start of the classification head: the probe's logistic regression (`auto` where the method and
    pooling allow it), or random weights."""
    freeze_embeddings: bool | None = None
    """Keep the token embeddings as they are, which saves memory and time and leaves the words that the budget does not
    show in their places; by default where they are pretrained."""
    label_names: bool = True
    """Learn from the names of the labels too, as one more example each, where all of them read like words: by the
    probe, and by fine-tuning that starts from its head."""
    select: Literal["last", "best"] = "last"
    """Keep the last weights, or those with the lowest validation loss."""
    average: Annotated[int, Field(ge=1, le=100)] | None = None
    """End with the mean of the weights at so many of the last pauses for evaluation, the end of training among them; by
    default 1, which is the last weights alone, for a translator that starts from nothing 3."""
    refit: bool | None = None
    """Once measured, train again on the validation examples too; by default on budgets up to 1,000."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 8
    """How often, at most, training pauses to evaluate on validation examples; checkpoints are saved there too."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Least time between two checkpoints: about what a killed run loses. A checkpoint is three times the weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` trains in bfloat16 where the hardware computes in it, else in float32."""
    compile: bool = False
    """Compile the steps of training (torch.compile, for any shape): that takes minutes at the start, so it is for long
    trainings. Dropout draws otherwise then."""
    padding_free: bool = False
    """Compute an encoder's layers on the tokens of a batch alone, without what fills short texts up, where its
    architecture can; a CNN and a BiLSTM have no such layers. Batches are of near-equal length, so there is little to
    leave out; on a CPU it is slower. Dropout draws otherwise then."""
    report_to: list[Name] = ["tensorboard"]
    """Experiment trackers, by the names transformers knows them by."""
