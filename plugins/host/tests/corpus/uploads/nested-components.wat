(component (component (component (component (component (core module (func)))) (core module (memory 1)))))
