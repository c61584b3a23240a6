src / main.py
