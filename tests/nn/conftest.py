"""A class of tests may name the arguments of its layers: each is a case."""


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames and metafunc.cls:
        named = metafunc.cls.ARGUMENTS
        metafunc.parametrize("case", named.values(), ids=named.keys())
