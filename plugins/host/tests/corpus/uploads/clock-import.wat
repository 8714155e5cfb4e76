(component (import "countersign:policy/clock@0.1.0" (instance (export "now" (func (result u64))))))
