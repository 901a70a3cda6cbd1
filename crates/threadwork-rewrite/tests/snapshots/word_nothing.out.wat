;; enter: false, reset: false
(module
  (type (;0;) (func))
  (func (;0;) (type 0)
    loop ;; label = @1
      br 0 (;@1;)
    end
  )
)

