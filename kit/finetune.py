"""Launch fine-tuning on one or several processes: `accelerate launch -m kit.finetune RECIPE`."""

from __future__ import annotations

import sys

from kit.cli.app import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
