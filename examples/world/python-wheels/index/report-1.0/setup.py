from setuptools import setup

setup(
    name="report",
    version="1.0",
    py_modules=["report"],
    install_requires=["columns>=2"],
    entry_points={"console_scripts": ["report=report:main"]},
)
