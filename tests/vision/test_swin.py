from dlkb.vision.swin import swin
from tests.cases import Case

CASES = [
    Case(swin, lambda rng: ((rng.normal(size=(2, 3)),), {})),
]

# to write: values and gradients against an implementation that is not ours
# to write: odd shapes, sizes 0 and 1, extreme arguments, every error message
