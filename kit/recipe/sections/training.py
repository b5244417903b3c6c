"""The `train` section: optimization, regularization and checkpoints of a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.recipe.section import NOT_IN_ID, InId, Name, Section
from kit.recipe.sections.methods import METHODS, NEURAL_METHODS


class TrainSection(Section):
    """Optimization, regularization and checkpoints of a training run."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the training examples, or for method distill over the texts to distil on; by default derived from the
    method, the budget and the number of labels."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate; the default depends on the method."""
    seed: Annotated[int, Field(ge=0, lt=2**32), InId(METHODS, unless=("seed",))] = 0
    """Seed of the budget, the initial weights, dropout and the order of examples."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Examples per optimizer step, over all processes and accumulation steps; by default 16 on budgets up to 1,000
    labels, otherwise 32, and 32 for translation."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Number of forward and backward passes that a batch is split into, to save memory."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW weight decay."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises; afterwards it falls linearly to zero."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Maximum norm of the gradients, which are clipped to it."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability mass that the training loss spreads evenly over all labels or tokens; by default 0, and 0.1 for
    translation."""
    contrastive: Annotated[float, Field(ge=0)] | None = None
    """Weight of the supervised contrastive loss on text vectors, for a pooled encoder and one label per example; the
    default depends on the method."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in the encoder; by default the checkpoint's own; 0 for method distill, and for encoders with pretrained
    weights on budgets above 1,000, because dropout only costs time there. On a CPU it is rounded to the nearest
    1/256."""
    head: Literal["auto", "probe", "random"] = "auto"
    """Initial weights of the head. `probe`: the linear model of method probe. `random`: random weights. `auto`: those
    of the probe, if method and pooling allow it, otherwise random weights."""
    freeze_embeddings: bool | None = None
    """Keep the token embeddings unchanged, which saves memory and time, and keeps words that are not in the budget
    comparable with those that are; by default if the embeddings are pretrained, except for a checkpoint that can
    translate."""
    label_names: Annotated[bool, InId(NEURAL_METHODS)] = True
    """Use each label name as one more training example, if all label names read like words: in the probe, and in
    fine-tuning that starts from the head of the probe."""
    select: Literal["last", "best"] = "last"
    """Keep the last weights, or the weights with the lowest validation loss."""
    average: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of evaluations, counted from the end of training, at which weights are averaged into the final weights; by
    default 1, which keeps the last weights, and 3 for translation from random weights."""
    refit: bool | None = None
    """After the first training, train a second model with the validation examples included. It replaces the first, and
    the test metrics are those of the second. By default on budgets up to 1,000."""
    calibrate: Annotated[Literal["none", "temperature"] | None, InId(METHODS)] = None
    """Calibration of the probabilities on examples that the model was not trained on. `temperature`: divide the logits
    by a number, which changes no predicted label. By default `temperature` for classification, otherwise `none`."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 8
    """Maximum number of evaluations on the validation examples during training; checkpoints are saved at the same
    steps."""
    checkpoint_seconds: Annotated[float, Field(ge=0), NOT_IN_ID] = 30.0
    """Minimum number of seconds between two checkpoints: about the time that a killed run loses. A checkpoint has three
    times the size of the weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` trains in bfloat16 if the hardware supports it, otherwise in float32."""
    compile: bool = False
    """Compile the training step (torch.compile, for any shape). This takes minutes at the start, so it is worth it only
    for long training runs. It changes the random numbers of dropout."""
    padding_free: bool = False
    """Compute the layers of an encoder without padding tokens, if the architecture allows it; a CNN and a BiLSTM have
    no such layers. Batches hold texts of similar length, so there is little padding to save; on a CPU it is slower. It
    changes the random numbers of dropout."""
    report_to: Annotated[list[Name], NOT_IN_ID] = ["tensorboard"]
    """Experiment trackers, by their names in transformers."""
