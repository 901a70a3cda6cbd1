;; enter: false, reset: false
(module
  (type (;0;) (func))
)

