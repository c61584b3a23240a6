local greet = require("greet")
print(greet(arg[1] or "world"), os.getenv("MODE"))
