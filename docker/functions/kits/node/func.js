// A function of the tests, on the Fn Project's kit for Node. The header Kit-Do says what it does; it echoes otherwise.
const fdk = require('@fnproject/fdk')

fdk.handle((body, context) => {
  const gateway = context.httpGateway
  const header = (name) => gateway.getHeader(name) || context.getHeader(name)
  const action = header('Kit-Do') || 'echo'
  console.error(`doing ${action} with ${body.length} bytes`)

  switch (action) {
    case 'throw':
      throw new Error('thrown on purpose')
    case 'json':
      context.responseContentType = 'application/json'
      return { asked: JSON.parse(body.toString()), call: context.callID }
    case 'status':
      context.responseContentType = 'text/plain'
      gateway.statusCode = 418
      gateway.setResponseHeader('X-Kit', 'node')
      return 'teapot'
    case 'facts':
      context.responseContentType = 'application/json'
      return {
        method: gateway.method,
        url: gateway.requestURL,
        config: context.config.COLOUR,
        header: header('X-Asked'),
        deadline: context.deadline
      }
    default:
      context.responseContentType = context.contentType || 'application/octet-stream'
      return fdk.rawResult(body)
  }
}, { inputMode: 'buffer' })
