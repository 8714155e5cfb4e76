(component
  (core module $counter (memory 1) (global (mut i32) (i32.const 0)) (func (export "add")))
  (core instance (instantiate $counter))
  (core instance (instantiate $counter)))
