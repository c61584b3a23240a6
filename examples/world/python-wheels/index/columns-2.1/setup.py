from setuptools import setup

setup(name="columns", version="2.1", py_modules=["columns"])
