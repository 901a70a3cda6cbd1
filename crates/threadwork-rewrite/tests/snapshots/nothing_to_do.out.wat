;; enter: false, reset: false
(module
  (type (;0;) (func))
  (start $f)
  (func $f (;0;) (type 0))
  (@custom ".debug_info" (after code) "offsets")
)

