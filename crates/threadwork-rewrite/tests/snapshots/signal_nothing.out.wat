;; enter: false, reset: false
(module)

