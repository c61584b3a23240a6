src/main.py
