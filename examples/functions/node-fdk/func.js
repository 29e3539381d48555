// A function as the Fn Project's kit for Node has it: a handler that is given a body and a context.
const fdk = require('@fnproject/fdk')

const handler = (body, context) => {
  const name = body.trim() || 'world'
  console.error(`greeting ${name}`)
  context.responseContentType = 'text/plain; charset=utf-8'
  return `Hello, ${name}!\n`
}
fdk.handle(handler, { inputMode: 'string' })
