"""Every registered scenario through the tests that ship for third parties, and the stand-in that they ship with."""

from channelbench import registry
from channelbench.testing import FewRays, GeneratorTests

for _name in registry.names("generators"):
    _generator = registry.find("generators", _name)
    if _generator.source.maker:
        continue  # its samples are of a file, which another command opens
    globals()[f"Test{_generator.__name__}"] = type(
        f"Test{_generator.__name__}", (GeneratorTests,), {"generator": _generator}
    )


class TestFewRays(GeneratorTests):
    generator = FewRays
    scenario = "channelbench.testing.factories:FewRays"
