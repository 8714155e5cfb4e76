;; A plugin without any toolchain of ours: it rejects what moves ten ether or more (amounts of 20 digits), and approves
;; the rest. Names and memory are those that the canonical ABI gives to the interface `policy` of `wit/1.0`.
(module
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 65536))
  (data (i32.const 1024) "foreign-limit")
  (data (i32.const 1056) "1.2.3")
  (data (i32.const 1088) "Rejects ten ether and more.")
  (data (i32.const 1152) "{}")
  (data (i32.const 1184) "limit")
  (data (i32.const 1216) "Compared with ten ether.")

  ;; What the host writes lies behind what is there; nothing is given back, for an instance lives for one call.
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq
              (memory.grow (i32.add (i32.shr_u (local.get $new) (i32.const 16)) (i32.const 1)))
              (i32.const -1))
          (then unreachable))))
    (local.get $at))

  (func $text (param $at i32) (param $text i32) (param $length i32)
    (i32.store (local.get $at) (local.get $text))
    (i32.store offset=4 (local.get $at) (local.get $length)))

  ;; name, version, summary and schema of the settings
  (func (export "countersign:policy/policy@1.0.0#describe") (result i32)
    (call $text (i32.const 16) (i32.const 1024) (i32.const 13))
    (call $text (i32.const 24) (i32.const 1056) (i32.const 5))
    (call $text (i32.const 32) (i32.const 1088) (i32.const 27))
    (call $text (i32.const 40) (i32.const 1152) (i32.const 2))
    (i32.const 16))

  ;; `ok`, whatever the settings say
  (func (export "countersign:policy/policy@1.0.0#validate-settings") (param i32 i32) (result i32)
    (i32.store (i32.const 64) (i32.const 0))
    (i32.const 64))

  ;; `ok` of an outcome: the verdict at 4, reason code at 16, analysis at 24, confidence at 32, no evidence at 36
  (func (export "countersign:policy/policy@1.0.0#evaluate") (param $given i32) (result i32)
    (i32.store (i32.const 128) (i32.const 0))
    (i32.store (i32.const 132) (i32.ge_u (i32.load offset=96 (local.get $given)) (i32.const 20)))
    (call $text (i32.const 144) (i32.const 1184) (i32.const 5))
    (call $text (i32.const 152) (i32.const 1216) (i32.const 24))
    (i32.store (i32.const 160) (i32.const 1000000))
    (i32.store (i32.const 164) (i32.const 0))
    (i32.store (i32.const 168) (i32.const 0))
    (i32.const 128)))
