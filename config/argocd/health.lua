-- Health of a RetryPolicy or ClusterRetryPolicy for Argo CD, which is what kstatus says, and with it Flux.
local health = {status = "Progressing", message = "The manager has yet to look at this generation."}
if obj.metadata.deletionTimestamp ~= nil then
  health.message = "It is being deleted."
  return health
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local meaning = {
  Stalled = {True = "Degraded"},
  Reconciling = {True = "Progressing"},
  Ready = {True = "Healthy", False = "Progressing"},
}
for _, kind in ipairs({"Reconciling", "Stalled", "Ready"}) do
  for _, condition in ipairs(obj.status.conditions or {}) do
    if condition.type == kind and meaning[kind][condition.status] ~= nil then
      return {status = meaning[kind][condition.status], message = condition.message}
    end
  end
end
return health
