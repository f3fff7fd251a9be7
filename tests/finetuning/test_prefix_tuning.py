from dlkb.finetuning.prefix_tuning import prefix_tuning
from tests.cases import Case

CASES = [
    Case(prefix_tuning, lambda rng: ((rng.normal(size=(2, 3)),), {})),
]

# to write: values and gradients against an implementation that is not ours
# to write: odd shapes, sizes 0 and 1, extreme arguments, every error message
