import getpass
import json
import sys
from pathlib import Path

from libraries.roman import roman

about = json.loads(Path(__file__).with_name("META-INF").joinpath("pom.json").read_text())
print(about["name"], roman(29), getpass.getuser(), f"optimised {sys.flags.optimize}")
